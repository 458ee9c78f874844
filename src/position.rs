//! Where in the order of commits something is, and the token that proves it.
//!
//! A transaction's [`Position`] is its epoch and its sequence: gap-free from 1, going on over epochs. An
//! epoch has one primary, its *owner*; a [`HistoryRow`] says where an epoch begins, and the next row where
//! it ends. A [`Token`] is a position with an identity, so that the same numbers given out by another group,
//! or by the other half of a torn one, are never mistaken for it. It is a hint and no capability.
//!
//! The bytes of a token. All integers are big-endian, on every machine.
//!
//! ```text
//!     offset  size
//!          0     1  version   1
//!          1     1  flags     bit 0: the transaction wrote nothing; every other bit is 0
//!          2     2  reserved  0
//!          4     4  epoch
//!          8     8  sequence  0 if and only if bit 0 of the flags is set
//!         16    16  group
//!         32     4  owner
//!         36     4  checksum  CRC-32 over bytes 0..36
//! ```
//!
//! A token is valid if and only if all of this holds. Its text is base64url (RFC 4648, section 5) without
//! padding: 54 characters, of which the last carries four bits that must be 0, so one token has one text.
//!
//! Promises: whether a token is reached is a pure function of the token, the history and two horizons
//! (`check`); "not found" is final, because it is only said on the word of a row that is itself safe.

use std::fmt;
use std::str::FromStr;

use crate::error::{Code, Error, Result};

/// The number of bytes of a token.
pub const TOKEN_SIZE: usize = 40;
/// The number of characters of a token's text.
pub const TOKEN_TEXT_SIZE: usize = 54;

const VERSION: u8 = 1;
const FLAG_EMPTY: u8 = 1;
const CHECKED: usize = TOKEN_SIZE - 4;

/// A place in the commit order of one group of stores.
///
/// Ordered by epoch, then by sequence. Inside one history that is the order of commits, and the sequence
/// alone would say the same. The positions of two histories that parted have an order, too, but it means
/// nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The reign it was committed in.
    pub epoch: u32,
    /// The number of the transaction, gap-free from 1 over all epochs.
    pub sequence: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.epoch, self.sequence)
    }
}

/// A position and the hash chain of everything up to it: two stores with the same stamp hold the same.
///
/// The default stamp stands before the first transaction of any store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The epoch the transaction was committed in.
    pub epoch: u32,
    /// Its number.
    pub sequence: u64,
    /// The chain after it.
    pub chain: u64,
}

/// The number of bytes of a stamp.
pub const STAMP_SIZE: usize = 20;

impl Stamp {
    /// The position without the chain.
    pub const fn position(&self) -> Position {
        Position { epoch: self.epoch, sequence: self.sequence }
    }

    /// Epoch (4), sequence (8), chain (8), little-endian, as they are stored and sent.
    pub fn to_bytes(self) -> [u8; STAMP_SIZE] {
        let mut bytes = [0; STAMP_SIZE];
        bytes[0..4].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.chain.to_le_bytes());
        bytes
    }

    /// The stamp at the beginning of `bytes`; `None` when they are too few.
    pub fn from_bytes(bytes: &[u8]) -> Option<Stamp> {
        let (epoch, rest) = bytes.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (chain, _) = rest.split_first_chunk()?;
        Some(Stamp {
            epoch: u32::from_le_bytes(*epoch),
            sequence: u64::from_le_bytes(*sequence),
            chain: u64::from_le_bytes(*chain),
        })
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}#{:016x}", self.epoch, self.sequence, self.chain)
    }
}

/// The identity of a group: the stores that share one history.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GroupId([u8; 16]);

impl GroupId {
    /// The group with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> GroupId {
        GroupId(bytes)
    }

    /// The bytes as they are stored and sent.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(out, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// Why an epoch began. The numbers are stored: never reused, never renumbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Cause {
    /// The store was created.
    Create = 1,
    /// A member was promoted with the consent of enough others.
    Promote = 2,
    /// A member was promoted without it.
    Force = 3,
    /// A backup was restored, or a copy claimed to be the group.
    Restore = 4,
    /// A copy became a group of its own.
    Fork = 5,
    /// The store found itself copied to another place.
    Copied = 6,
    /// An open could not be sure that every position handed out before was kept.
    Crash = 7,
}

impl Cause {
    /// The cause with this stored number, if there is one.
    pub fn from_u8(number: u8) -> Option<Cause> {
        Some(match number {
            1 => Cause::Create,
            2 => Cause::Promote,
            3 => Cause::Force,
            4 => Cause::Restore,
            5 => Cause::Fork,
            6 => Cause::Copied,
            7 => Cause::Crash,
            _ => return None,
        })
    }
}

/// The beginning of an epoch. It lasts until the sequence before the `first` of the next row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HistoryRow {
    /// The epoch that begins.
    pub epoch: u32,
    /// Its first sequence.
    pub first: u64,
    /// The random number its primary drew, so that two primaries of one epoch differ.
    pub owner: u32,
    /// Why it began.
    pub cause: Cause,
}

/// The proof of a commit: a position and whose it is, to be asked for at any store of the group.
///
/// Opaque, a value, without an order. `Display` and `FromStr` speak its text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    position: Position,
    group: GroupId,
    owner: u32,
}

impl Token {
    /// The token of the transaction at `position`, committed in `group` while `owner` was primary.
    pub(crate) const fn new(group: GroupId, owner: u32, position: Position) -> Token {
        Token { position, group, owner }
    }

    /// The token of a transaction of `group` that wrote nothing and so has no place in the order.
    pub(crate) const fn empty(group: GroupId) -> Token {
        Token { position: Position { epoch: 0, sequence: 0 }, group, owner: 0 }
    }

    /// Whether it stands for a transaction that wrote nothing.
    pub const fn is_empty(&self) -> bool {
        self.position.sequence == 0
    }

    /// The position; sequence 0 for a transaction that wrote nothing.
    pub const fn position(&self) -> Position {
        self.position
    }

    /// The group it was given out in.
    pub const fn group(&self) -> GroupId {
        self.group
    }

    /// The number the primary of its epoch drew.
    pub const fn owner(&self) -> u32 {
        self.owner
    }

    /// The 40 bytes, the same on every machine.
    pub fn to_bytes(&self) -> [u8; TOKEN_SIZE] {
        let mut bytes = [0; TOKEN_SIZE];
        bytes[0] = VERSION;
        bytes[1] = if self.is_empty() { FLAG_EMPTY } else { 0 };
        bytes[4..8].copy_from_slice(&self.position.epoch.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.position.sequence.to_be_bytes());
        bytes[16..32].copy_from_slice(&self.group.0);
        bytes[32..36].copy_from_slice(&self.owner.to_be_bytes());
        let checksum = crc32fast::hash(&bytes[..CHECKED]);
        bytes[CHECKED..].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    /// The least set that says the same as these tokens: of each epoch of each group the last one. A token of a
    /// transaction that wrote nothing says nothing beside others of its group.
    pub fn join(tokens: &[Token]) -> Vec<Token> {
        let mut joined: Vec<Token> = Vec::new();
        for token in tokens {
            let same = |known: &&mut Token| {
                let empty = known.is_empty() || token.is_empty();
                let epoch =
                    (known.owner, known.position.epoch) == (token.owner, token.position.epoch);
                known.group == token.group && (empty || epoch)
            };
            match joined.iter_mut().find(same) {
                Some(known) if known.position < token.position => *known = *token,
                Some(_) => {}
                None => joined.push(*token),
            }
        }
        joined
    }

    /// Reads a token: 40 bytes as [`Token::to_bytes`] wrote them, or the 54 characters of its text.
    ///
    /// Fails with [`Code::Invalid`] on anything else.
    pub fn parse(input: &[u8]) -> Result<Token> {
        if let Ok(bytes) = <&[u8; TOKEN_SIZE]>::try_from(input) {
            return decode(bytes);
        }
        if let Ok(text) = <&[u8; TOKEN_TEXT_SIZE]>::try_from(input) {
            return decode(&from_base64url(text)?);
        }
        let length = input.len();
        Err(invalid(format!(
            "it has {length} bytes, not {TOKEN_SIZE} or {TOKEN_TEXT_SIZE} as text"
        )))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        to_base64url(&self.to_bytes())
            .iter()
            .try_for_each(|&byte| fmt::Write::write_char(out, byte as char))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Token({} of {} by {:08x})", self.position, self.group, self.owner)
    }
}

impl FromStr for Token {
    type Err = Error;

    fn from_str(text: &str) -> Result<Token> {
        let Ok(text) = <&[u8; TOKEN_TEXT_SIZE]>::try_from(text.as_bytes()) else {
            let length = text.len();
            return Err(invalid(format!(
                "the text has {length} characters, not {TOKEN_TEXT_SIZE}"
            )));
        };
        decode(&from_base64url(text)?)
    }
}

/// What a store can say about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The transaction is visible here.
    Applied,
    /// Not yet, and nothing proves that it never will be.
    Wait,
    /// The transaction is lost; final.
    NotFound,
    /// The token belongs to another group of stores.
    WrongGroup,
    /// The transaction wrote nothing: there is nothing to wait for.
    Empty,
}

/// Asks whether the transaction of `token` is visible in a store of `group`.
///
/// `history` is in order: epochs rise, and so does `first`. `visible` is the last sequence that readers
/// see, `safe` the last one that no later strict promotion can take back.
///
/// The first row of the token's epoch or of a later one decides. If that row is the token's own, epoch and
/// owner, its range holds the position or it does not. Otherwise this history left out the token's epoch
/// or gave it to another owner. A row that speaks against the token does so for good once it is safe; until
/// then it may still be taken back itself.
pub(crate) fn check(
    token: &Token,
    group: &GroupId,
    history: &[HistoryRow],
    visible: u64,
    safe: u64,
) -> Answer {
    if token.group != *group {
        return Answer::WrongGroup;
    }
    if token.is_empty() {
        return Answer::Empty;
    }
    let Position { epoch, sequence } = token.position;
    let Some(at) = history.iter().position(|row| row.epoch >= epoch) else {
        return Answer::Wait;
    };
    let row = &history[at];
    let refuting = if row.epoch != epoch || row.owner != token.owner || sequence < row.first {
        row
    } else {
        match history.get(at + 1) {
            Some(next) if sequence >= next.first => next,
            _ if sequence <= visible => return Answer::Applied,
            _ => return Answer::Wait,
        }
    };
    if refuting.first <= safe { Answer::NotFound } else { Answer::Wait }
}

fn decode(bytes: &[u8; TOKEN_SIZE]) -> Result<Token> {
    if bytes[0] != VERSION {
        return Err(invalid(format!("its version is {}, not {VERSION}", bytes[0])));
    }
    let stored = u32::from_be_bytes(part(bytes, CHECKED));
    let computed = crc32fast::hash(&bytes[..CHECKED]);
    if stored != computed {
        return Err(invalid(format!(
            "its checksum is {stored:08x}, its bytes give {computed:08x}"
        )));
    }
    if bytes[1] & !FLAG_EMPTY != 0 || bytes[2..4] != [0, 0] {
        return Err(invalid("a reserved bit is set"));
    }
    let position = Position {
        epoch: u32::from_be_bytes(part(bytes, 4)),
        sequence: u64::from_be_bytes(part(bytes, 8)),
    };
    let token = Token {
        position,
        group: GroupId(part(bytes, 16)),
        owner: u32::from_be_bytes(part(bytes, 32)),
    };
    if token.is_empty() != (bytes[1] & FLAG_EMPTY != 0) {
        return Err(invalid(
            "its sequence and its flag of an empty transaction contradict each other",
        ));
    }
    Ok(token)
}

fn part<const N: usize>(bytes: &[u8; TOKEN_SIZE], at: usize) -> [u8; N] {
    std::array::from_fn(|index| bytes[at + index])
}

fn invalid(why: impl fmt::Display) -> Error {
    Error::new(Code::Invalid, format!("not a token: {why}"))
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Six bits a character, highest first; the last character is filled up with zero bits.
fn to_base64url(bytes: &[u8; TOKEN_SIZE]) -> [u8; TOKEN_TEXT_SIZE] {
    std::array::from_fn(|index| {
        let (byte, shift) = (index * 6 / 8, index * 6 % 8);
        let next = bytes.get(byte + 1).copied().unwrap_or(0);
        let window = u16::from_be_bytes([bytes[byte], next]);
        ALPHABET[usize::from(window >> (10 - shift) & 0x3f)]
    })
}

fn from_base64url(text: &[u8; TOKEN_TEXT_SIZE]) -> Result<[u8; TOKEN_SIZE]> {
    let mut bytes = [0; TOKEN_SIZE];
    let (mut window, mut bits, mut filled) = (0u32, 0, 0);
    for (index, &character) in text.iter().enumerate() {
        let Some(value) = ALPHABET.iter().position(|&known| known == character) else {
            return Err(invalid(format!("byte {character:#04x} at {index} is not base64url")));
        };
        window = window << 6 | value as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes[filled] = (window >> bits) as u8;
            window &= (1 << bits) - 1;
            filled += 1;
        }
    }
    if window != 0 {
        return Err(invalid("the unused bits of the last character are not zero"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: GroupId =
        GroupId(*b"\x01\x23\x45\x67\x89\xab\xcd\xef\x10\x32\x54\x76\x98\xba\xdc\xfe");
    const OTHER_GROUP: GroupId = GroupId([7; 16]);
    const OWNER: u32 = 0xdead_beef;
    const OTHER_OWNER: u32 = 0x0bad_cafe;

    const GOLDEN_TEXT: &str = "AQAAAAAAAAcAAAAAAAASNAEjRWeJq83vEDJUdpi63P7erb7vNJaVhw";
    const GOLDEN: [u8; 40] = [
        0x01, 0x00, 0x00, 0x00, // version, flags, reserved
        0x00, 0x00, 0x00, 0x07, // epoch
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x12, 0x34, // sequence
        0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, // group
        0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe, //
        0xde, 0xad, 0xbe, 0xef, // owner
        0x34, 0x96, 0x95, 0x87, // checksum
    ];

    fn token(epoch: u32, sequence: u64) -> Token {
        Token::new(GROUP, OWNER, Position { epoch, sequence })
    }

    fn row(epoch: u32, first: u64) -> HistoryRow {
        HistoryRow { epoch, first, owner: OWNER, cause: Cause::Promote }
    }

    fn asked(token: Token, history: &[HistoryRow], visible: u64, safe: u64) -> Answer {
        check(&token, &GROUP, history, visible, safe)
    }

    /// The code and the text of the refusal.
    fn refused(input: &[u8]) -> String {
        let error = Token::parse(input).unwrap_err();
        assert_eq!(error.code(), Code::Invalid);
        error.to_string()
    }

    fn with_checksum(mut bytes: [u8; 40]) -> [u8; 40] {
        let checksum = crc32fast::hash(&bytes[..CHECKED]);
        bytes[CHECKED..].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    #[test]
    fn tok_17_bytes_and_text_are_the_golden_ones() {
        let token = token(7, 0x1234);
        assert_eq!(token.to_bytes(), GOLDEN);
        assert_eq!(token.to_string(), GOLDEN_TEXT);
        assert_eq!(Token::parse(&GOLDEN).unwrap(), token);
        assert_eq!(Token::parse(GOLDEN_TEXT.as_bytes()).unwrap(), token);
        assert_eq!(GOLDEN_TEXT.parse::<Token>().unwrap(), token);
        assert_eq!(token.group().to_string(), "01234567-89ab-cdef-1032-547698badcfe");
        assert_eq!((token.position().to_string(), token.owner()), ("7/4660".into(), OWNER));
    }

    #[test]
    fn tok_17_every_value_comes_back_from_bytes_and_text() {
        for position in [(0, 1), (1, u64::MAX), (u32::MAX, 1 << 40)] {
            let token = token(position.0, position.1);
            assert_eq!(Token::parse(&token.to_bytes()).unwrap(), token);
            assert_eq!(token.to_string().parse::<Token>().unwrap(), token);
        }
    }

    #[test]
    fn tok_18_every_single_bit_flip_is_invalid() {
        for bit in 0..320 {
            let mut bytes = GOLDEN;
            bytes[bit / 8] ^= 1 << (bit % 8);
            refused(&bytes);
        }
        for bit in 0..432 {
            let mut text = *<&[u8; 54]>::try_from(GOLDEN_TEXT.as_bytes()).unwrap();
            text[bit / 8] ^= 1 << (bit % 8);
            refused(&text);
        }
    }

    #[test]
    fn tok_18_every_other_length_is_invalid() {
        for length in (0..80).filter(|length| ![40, 54].contains(length)) {
            let mut raw = GOLDEN.to_vec();
            raw.resize(length, 0);
            assert!(refused(&raw).contains(&format!("{length} bytes")));
            let text = "A".repeat(length);
            assert_eq!(text.parse::<Token>().unwrap_err().code(), Code::Invalid);
        }
        let raw_as_text = "A".repeat(40);
        assert_eq!(raw_as_text.parse::<Token>().unwrap_err().code(), Code::Invalid);
    }

    #[test]
    fn tok_18_all_zero_is_invalid() {
        assert_eq!(refused(&[0; 40]), "not a token: its version is 0, not 1");
        assert_eq!(refused(&[b'A'; 54]), "not a token: its version is 0, not 1");
    }

    #[test]
    fn tok_18_an_unknown_version_is_named_before_its_checksum() {
        let mut bytes = GOLDEN;
        bytes[0] = 2;
        assert_eq!(refused(&bytes), "not a token: its version is 2, not 1");
        assert_eq!(refused(&with_checksum(bytes)), "not a token: its version is 2, not 1");
    }

    #[test]
    fn tok_18_a_bad_checksum_is_invalid() {
        let mut bytes = GOLDEN;
        bytes[39] ^= 0xff;
        assert!(refused(&bytes).starts_with("not a token: its checksum is "));
    }

    #[test]
    fn tok_18_a_reserved_bit_is_invalid_under_a_right_checksum() {
        for (at, bit) in (1..8).map(|bit| (1, bit)).chain((0..16).map(|bit| (2 + bit / 8, bit % 8)))
        {
            let mut bytes = GOLDEN;
            bytes[at] |= 1 << bit;
            assert_eq!(refused(&with_checksum(bytes)), "not a token: a reserved bit is set");
        }
    }

    #[test]
    fn tok_18_an_empty_flag_with_a_sequence_and_the_reverse_are_invalid() {
        let mut flagged = GOLDEN;
        flagged[1] = FLAG_EMPTY;
        let mut bare = GOLDEN;
        bare[8..16].fill(0);
        for bytes in [flagged, bare] {
            assert!(refused(&with_checksum(bytes)).contains("contradict"));
        }
    }

    #[test]
    fn tok_18_text_that_is_not_canonical_is_invalid() {
        let swap = |at: usize, with: u8| {
            let mut text = GOLDEN_TEXT.as_bytes().to_vec();
            text[at] = with;
            refused(&text)
        };
        for with in *b"+/= \n\0\xff" {
            assert!(swap(3, with).contains("at 3 is not base64url"));
        }
        assert!(swap(53, b'B').contains("unused bits"));
    }

    #[test]
    fn tok_03_a_transaction_without_writes_is_empty_whatever_the_history() {
        let empty = Token::empty(GROUP);
        assert!(empty.is_empty() && !token(1, 1).is_empty());
        assert_eq!(empty.to_bytes()[1], FLAG_EMPTY);
        assert_eq!(Token::parse(&empty.to_bytes()).unwrap(), empty);
        assert_eq!(asked(empty, &[], 0, 0), Answer::Empty);
        assert_eq!(asked(empty, &[row(1, 1), row(2, 10)], 20, 20), Answer::Empty);
    }

    #[test]
    fn a_joined_list_keeps_the_last_of_each_epoch_and_no_empty_one_beside_others() {
        let other = Token::new(OTHER_GROUP, OWNER, Position { epoch: 1, sequence: 2 });
        let theirs = Token::new(GROUP, OTHER_OWNER, Position { epoch: 2, sequence: 2 });
        let empty = Token::empty(GROUP);
        let all = [empty, token(1, 5), other, token(2, 9), empty, token(1, 7), theirs, token(2, 8)];
        assert_eq!(Token::join(&all), [token(1, 7), other, token(2, 9), theirs]);
        assert_eq!(Token::join(&[empty, empty]), [empty]);
        assert_eq!(Token::join(&[]), []);
    }

    #[test]
    fn tok_19_another_group_is_told_before_anything_else() {
        let history = [row(1, 1)];
        for token in [token(1, 5), Token::empty(GROUP)] {
            assert_eq!(check(&token, &OTHER_GROUP, &history, 9, 9), Answer::WrongGroup);
        }
    }

    #[test]
    fn tok_01_a_position_of_the_newest_epoch_waits_until_visible() {
        let history = [row(1, 1)];
        assert_eq!(asked(token(1, 5), &history, 4, 4), Answer::Wait);
        assert_eq!(asked(token(1, 5), &history, 5, 0), Answer::Applied);
    }

    #[test]
    fn tok_06_a_position_of_an_older_epoch_is_applied_three_promotions_later() {
        let history = [row(1, 1), row(2, 10), row(3, 20), row(6, 30)];
        for (epoch, sequence) in [(1, 1), (1, 9), (2, 10), (2, 19), (3, 29), (6, 30)] {
            assert_eq!(asked(token(epoch, sequence), &history, 40, 40), Answer::Applied);
        }
        assert_eq!(asked(token(2, 15), &history[..2], 14, 10), Answer::Wait);
    }

    #[test]
    fn tok_21_a_position_behind_the_end_of_its_epoch_is_lost_once_the_next_row_is_safe() {
        let history = [row(1, 1), row(2, 10)];
        for sequence in [10, 11, 500] {
            assert_eq!(asked(token(1, sequence), &history, 600, 9), Answer::Wait);
            assert_eq!(asked(token(1, sequence), &history, 600, 10), Answer::NotFound);
        }
    }

    #[test]
    fn tok_10_another_owner_of_the_same_epoch_refutes_once_safe() {
        let theirs = HistoryRow { owner: OTHER_OWNER, ..row(2, 10) };
        let history = [row(1, 1), theirs, row(3, 20)];
        for history in [&history[..2], &history[..]] {
            assert_eq!(asked(token(2, 12), history, 15, 9), Answer::Wait);
            assert_eq!(asked(token(2, 12), history, 15, 10), Answer::NotFound);
        }
    }

    #[test]
    fn tok_09_an_epoch_the_history_left_out_is_refuted_by_the_first_later_row() {
        let history = [row(1, 1), row(4, 10), row(5, 20)];
        for sequence in [5, 10, 25] {
            assert_eq!(asked(token(3, sequence), &history, 25, 9), Answer::Wait);
            assert_eq!(asked(token(3, sequence), &history, 25, 10), Answer::NotFound);
        }
    }

    #[test]
    fn tok_20_an_epoch_newer_than_the_history_waits() {
        let history = [row(1, 1), row(2, 10)];
        for sequence in [1, 15, 1000] {
            assert_eq!(asked(token(3, sequence), &history, 20, 20), Answer::Wait);
        }
        assert_eq!(asked(token(1, 1), &[], 0, 0), Answer::Wait);
    }

    #[test]
    fn tok_20_an_epoch_whose_end_is_not_known_yet_waits() {
        assert_eq!(asked(token(1, 12), &[row(1, 1)], 9, 9), Answer::Wait);
    }

    #[test]
    fn a_position_before_the_beginning_of_its_epoch_is_refuted_by_its_own_row() {
        let history = [row(1, 1), row(2, 10)];
        assert_eq!(asked(token(2, 9), &history, 20, 9), Answer::Wait);
        assert_eq!(asked(token(2, 9), &history, 20, 10), Answer::NotFound);
    }

    #[test]
    fn causes_come_back_from_their_numbers_and_no_other_number_is_one() {
        let known: Vec<u8> = (0..=255).filter(|&number| Cause::from_u8(number).is_some()).collect();
        assert_eq!(known, [1, 2, 3, 4, 5, 6, 7]);
        for number in known {
            assert_eq!(Cause::from_u8(number).unwrap() as u8, number);
        }
    }

    #[test]
    fn positions_are_ordered_by_epoch_then_sequence() {
        let at = |epoch, sequence| Position { epoch, sequence };
        assert!(at(1, 9) < at(2, 3) && at(2, 3) < at(2, 4));
    }
}
