//! An authority, and the certificates it signs.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use std::path::{Path, PathBuf};

/// An authority that signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What a certificate says.
#[derive(Clone, Copy)]
pub enum Leaf {
    /// 127.0.0.1, localhost and the namespace of `tests/kill/namespaces.rs`, valid.
    Good,
    /// The same, valid until 2001.
    Expired,
    /// Another host's.
    OtherName,
    /// Signed by itself.
    SelfSigned,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::default()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes its own certificate.
    pub fn file(&self, folder: &Path) -> PathBuf {
        let path = folder.join("authority.pem");
        std::fs::write(&path, self.0.pem()).unwrap();
        path
    }

    /// Writes a certificate and its key.
    pub fn leaf(&self, folder: &Path, leaf: Leaf) -> (PathBuf, PathBuf) {
        let names = match leaf {
            Leaf::OtherName => vec!["elsewhere.example".to_string()],
            _ => ["127.0.0.1", "10.77.0.1", "localhost"].map(str::to_string).to_vec(),
        };
        let mut params = CertificateParams::new(names).unwrap();
        if let Leaf::Expired = leaf {
            (params.not_before, params.not_after) =
                (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
        }
        let key = KeyPair::generate().unwrap();
        let certificate = match leaf {
            Leaf::SelfSigned => params.self_signed(&key).unwrap(),
            _ => params.signed_by(&key, &self.0).unwrap(),
        };
        let (chain, secret) = (folder.join("server.pem"), folder.join("server.key"));
        std::fs::write(&chain, certificate.pem()).unwrap();
        std::fs::write(&secret, key.serialize_pem()).unwrap();
        (chain, secret)
    }
}
