//! What an administrator orders over a connection: queues, consumers, targets, connections, users.
//!
//! An order is a JSON object; `order` says which, and each has these fields and no others.
//!
//! | order | fields | needs admin on |
//! |---|---|---|
//! | `queue_pause`, `queue_resume`, `queue_purge`, `queue_rm` | `queue` | the queue |
//! | `queue_redrive` | `queue`, `drop`, `after`: a sequence, `max`: a number, 0 = all | the queue, and what it goes to |
//! | `consumer_reset` | `queue`, `consumer`, `to`: `"oldest"`, `"now"` or a sequence | the queue |
//! | `consumer_rm` | `queue`, `consumer` | the queue |
//! | `target_add` | `root`, `name`, `url`, `from`: `"oldest"` or `"now"` | `*` |
//! | `target_rm` | `root`, `name` | `*` |
//! | `conn_kill` | `connection` | `*` |
//! | `session_ls` | `after`: the id of a session, or null | `*` |
//! | `session_kill` | `session`: its id | `*` |
//! | `tx_ls` | `after`: the identity of a transaction, or null | `*`, for those of others |
//! | `user_ls` | | `*` |
//! | `user_add` | `name`, `verifier`, `rights` | `*` |
//! | `user_rm` | `name` | `*` |
//! | `user_rights` | `name`, `rights` | `*` |
//! | `user_passwd` | `name`, `verifier` | `*` |
//!
//! A verifier is the text the users file has; the password it was made of is nowhere on the way. The answer
//! is `{}`, for queues and consumers `{"token": text}`, for `user_ls` a list of `{name, rights}`, and for `session_ls` a list
//! of at most 1,000 remembered sessions behind that one, in the order of their ids (32 hexadecimal digits): `{session, name,
//! user, epoch, committed, token, used_ms, open}`. For `tx_ls` it is a list of at most 1,000 prepared transactions behind that one:
//! `{transaction, xid, user, since_ms, messages, bytes, held, state, token, ended_by, ended_ms}`. For `queue_redrive` it is
//! `{done, refused, waiting, next}`: how many of the
//! letters behind `after` were put back, or dropped with `drop`, in a moment; pairs of a sequence and why it stays, those apart
//! that stay behind an older letter of their key; and where to go on, or null. An order may wait for the disk, so each runs on a thread of
//! its own, one a connection. Nobody changes or removes the user who asks: that is done where the server runs.

use super::AUDIT;
use super::connection::Shared;
use super::users::{Right, User, UserSource, Users, Verb};
use crate::error::{Code, Error, Result};
use crate::queue::From;
use crate::replicate::planned;
use crate::session::{self, Part, PreparedInfo, RedriveOptions, SessionInfo, session_id};
use crate::store::Commit;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an order that has much to do works before it says how far it is.
const MOMENT: Duration = Duration::from_millis(500);

/// An order; see the head of this file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs)] // The table above says it.
pub enum Order {
    QueuePause { queue: String },
    QueueResume { queue: String },
    QueuePurge { queue: String },
    QueueRm { queue: String },
    QueueRedrive { queue: String, drop: bool, after: u64, max: u64 },
    ConsumerReset { queue: String, consumer: String, to: To },
    ConsumerRm { queue: String, consumer: String },
    TargetAdd { root: String, name: String, url: String, from: To },
    TargetRm { root: String, name: String },
    ConnKill { connection: u64 },
    SessionLs { after: Option<String> },
    SessionKill { session: String },
    TxLs { after: Option<String> },
    UserLs {},
    UserAdd { name: String, verifier: String, rights: Vec<Right> },
    UserRm { name: String },
    UserRights { name: String, rights: Vec<Right> },
    UserPasswd { name: String, verifier: String },
}

/// Where a consumer goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum To {
    /// `oldest` or `now`.
    Word(String),
    /// A sequence.
    Sequence(u64),
}

impl std::convert::From<From> for To {
    fn from(from: From) -> To {
        match from {
            From::Oldest => To::Word("oldest".into()),
            From::Now => To::Word("now".into()),
            From::Sequence(sequence) => To::Sequence(sequence),
        }
    }
}

impl To {
    fn place(&self) -> Result<From> {
        match self {
            To::Word(word) if word == "oldest" => Ok(From::Oldest),
            To::Word(word) if word == "now" => Ok(From::Now),
            To::Sequence(sequence) => Ok(From::Sequence(*sequence)),
            To::Word(word) => {
                let text = format!("{word:?} is no place: oldest, now or a sequence");
                Err(Error::new(Code::Invalid, text))
            }
        }
    }
}

impl Order {
    /// The order in a request. Fails with INVALID; the text is not repeated, for it may hold a verifier.
    pub fn parse(text: &str) -> Result<Order> {
        serde_json::from_str(text).map_err(|error| {
            let text = format!("an order arrived that is malformed, at column {}", error.column());
            Error::new(Code::Invalid, text)
        })
    }

    /// The text of a request.
    pub fn to_text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| {
            Error::new(Code::Panic, format!("cannot write an order as JSON: {error}"))
        })
    }

    /// Whether this user may give it.
    pub fn is_allowed(&self, user: &User) -> bool {
        let queue = match self {
            Order::QueuePause { queue }
            | Order::QueueResume { queue }
            | Order::QueuePurge { queue }
            | Order::QueueRm { queue }
            | Order::QueueRedrive { queue, .. }
            | Order::ConsumerReset { queue, .. }
            | Order::ConsumerRm { queue, .. } => queue,
            // Everybody sees his own.
            Order::TxLs { .. } => return user.may_anything(),
            _ => "*",
        };
        user.may(Verb::Admin, queue)
    }

    /// What it does, for the log: no verifier, no right.
    pub fn describe(&self) -> String {
        match self {
            Order::QueuePause { queue } => format!("queue pause {queue:?}"),
            Order::QueueResume { queue } => format!("queue resume {queue:?}"),
            Order::QueuePurge { queue } => format!("queue purge {queue:?}"),
            Order::QueueRm { queue } => format!("queue rm {queue:?}"),
            Order::QueueRedrive { queue, .. } => format!("queue redrive {queue:?}"),
            Order::ConsumerReset { queue, consumer, .. } => {
                format!("consumer reset {consumer:?} of {queue:?}")
            }
            Order::ConsumerRm { queue, consumer } => {
                format!("consumer rm {consumer:?} of {queue:?}")
            }
            Order::TargetAdd { root, name, .. } => format!("target add {name:?} of {root:?}"),
            Order::TargetRm { root, name } => format!("target rm {name:?} of {root:?}"),
            Order::ConnKill { connection } => format!("conn kill {connection}"),
            Order::SessionLs { .. } => "session ls".into(),
            Order::SessionKill { session } => format!("session kill {session:?}"),
            Order::TxLs { .. } => "tx ls".into(),
            Order::UserLs {} => "user ls".into(),
            Order::UserAdd { name, .. } => format!("user add {name:?}"),
            Order::UserRm { name } => format!("user rm {name:?}"),
            Order::UserRights { name, .. } => format!("user rights {name:?}"),
            Order::UserPasswd { name, .. } => format!("user passwd {name:?}"),
        }
    }

    /// Whether it changes nothing.
    fn only_looks(&self) -> bool {
        matches!(self, Order::UserLs {} | Order::SessionLs { .. } | Order::TxLs { .. })
    }

    /// Does it for the user of this name, and returns the answer.
    pub fn run(&self, shared: &Shared, by: &str) -> Result<String> {
        let outcome = self.act(shared, by);
        let what = self.describe();
        match &outcome {
            Ok(_) if self.only_looks() => {}
            Ok(_) => log::info!(target: AUDIT, "{by:?} did {what}"),
            Err(error) => log::warn!(target: AUDIT, "{by:?} tried {what}: {error}"),
        }
        outcome
    }

    fn act(&self, shared: &Shared, by: &str) -> Result<String> {
        let store = &shared.store;
        let find = |queue: &str| store.find_queue(queue);
        match self {
            Order::QueuePause { queue } => return done(store.queue_pause(find(queue)?)?),
            Order::QueueResume { queue } => return done(store.queue_resume(find(queue)?)?),
            Order::QueuePurge { queue } => return done(store.queue_purge(find(queue)?)?),
            Order::QueueRm { queue } => return done(store.queue_delete(find(queue)?)?),
            Order::QueueRedrive { queue, drop, after, max } => {
                let user = shared.users.lock().get(by).cloned();
                let may = |queue: &str| user.as_ref().is_some_and(|u| u.may(Verb::Admin, queue));
                let part = Part { after: *after, until: Some(Instant::now() + MOMENT), may: &may };
                let options = RedriveOptions { max: *max, drop: *drop };
                let worked = store.redrive_part(find(queue)?, &options, &part)?;
                return Ok(worked.to_json().to_string());
            }
            Order::ConsumerReset { queue, consumer, to } => {
                return done(store.consumer_reset(consumer, find(queue)?, to.place()?)?);
            }
            Order::ConsumerRm { queue, consumer } => {
                return done(store.consumer_delete(consumer, find(queue)?)?);
            }
            Order::TargetAdd { root, name, url, from } => {
                let root = find(root)?.number();
                let (endpoint, begin) = planned(name, url, from.place()?)?;
                store.core().stream_open(root, name, &endpoint.to_string(), begin)?;
            }
            Order::TargetRm { root, name } => {
                store.core().stream_remove(find(root)?.number(), name)?;
            }
            Order::ConnKill { connection } => {
                let why = Error::new(Code::Cancelled, "an administrator ended this connection");
                shared.table.dismiss_one(*connection, &why)?;
            }
            Order::SessionLs { after } => {
                let after = after.as_deref().map(session_id).transpose()?;
                let infos = store.sessions_behind(after)?;
                return Ok(
                    json!(infos.iter().map(SessionInfo::to_json).collect::<Vec<_>>()).to_string()
                );
            }
            Order::TxLs { after } => return tx_ls(shared, by, after.as_deref()),
            Order::SessionKill { session } => store.session_kill(session_id(session)?)?,
            Order::UserLs {} => return Ok(list(&shared.users.lock().clone())),
            Order::UserAdd { name, verifier, rights } => {
                shared.change_users(by, name, |users| {
                    users.add_verifier(name, verifier)?;
                    users.set_rights(name, rights)
                })?
            }
            Order::UserRm { name } => {
                shared.change_users(by, name, |users| users.remove(name))?;
            }
            Order::UserRights { name, rights } => {
                shared.change_users(by, name, |users| users.set_rights(name, rights))?;
            }
            Order::UserPasswd { name, verifier } => {
                shared.change_users(by, name, |users| users.set_verifier(name, verifier))?;
            }
        }
        Ok("{}".into())
    }
}

/// The prepared transactions this user may see.
fn tx_ls(shared: &Shared, by: &str, after: Option<&str>) -> Result<String> {
    let all = shared.users.lock().get(by).is_some_and(|user| user.may(Verb::Admin, "*"));
    let of = (!all).then_some(by);
    let infos = shared.store.prepared_behind(session::after(after)?, of)?;
    Ok(json!(infos.iter().map(PreparedInfo::to_json).collect::<Vec<_>>()).to_string())
}

/// The answer to an order that was a transaction.
fn done(commit: Commit) -> Result<String> {
    Ok(json!({ "token": commit.token.to_string() }).to_string())
}

fn list(users: &Users) -> String {
    let row = |name: &&str| json!({ "name": name, "rights": users.rights(name).unwrap_or(&[]) });
    json!(users.names().iter().map(row).collect::<Vec<_>>()).to_string()
}

impl Shared {
    /// Changes the users file for somebody else than who is changed, and lets the change take hold.
    fn change_users(
        &self,
        by: &str,
        name: &str,
        change: impl FnOnce(&mut Users) -> Result<()>,
    ) -> Result<()> {
        if by == name {
            let text = format!(
                "user {name:?} cannot change itself over a connection; do it where the server runs"
            );
            return Err(Error::new(Code::Invalid, text));
        }
        let _one_at_a_time = self.changing.lock();
        let UserSource::File(path) = &self.source else {
            let text =
                "this server has no users file: its users were given by the program that runs it";
            return Err(Error::new(Code::Unsupported, text));
        };
        let mut users = Users::load(path)?;
        change(&mut users)?;
        users.save(path)?;
        self.install(users);
        Ok(())
    }

    /// Lets these users be those of the server; whose row changed has to log in again.
    pub fn install(&self, users: Users) {
        let users = Arc::new(users);
        let before = std::mem::replace(&mut *self.users.lock(), users.clone());
        let why = Error::new(Code::Denied, "the rights of this user changed");
        self.table.dismiss(&why, |name| before.get(name) == users.get(name));
    }
}
