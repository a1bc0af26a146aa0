//! One writer at a time: a row that says who writes, renewed by a thread while the program lives.
//!
//! The row decides, not file locks, because those are unreliable on network file systems and die with a suspended
//! laptop. Every write checks it within its own transaction: a program that was thought dead cannot write any more.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, named_params};

use super::{Doing, Error, now};

/// A lease that was not renewed for so long belongs to nobody.
const LASTS_S: f64 = 30.0;
const RENEW_EVERY: Duration = Duration::from_secs(8);

/// The right to write, in the name of this process.
#[derive(Debug)]
pub struct Lease {
    holder: Holder,
    /// Dropping the sender ends the thread.
    renewer: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

#[derive(Clone, Debug)]
struct Holder {
    token: String,
    who: String,
    host: String,
    /// Kernel boot and process namespace: within one, process numbers can be compared.
    machine: String,
    pid: u32,
    /// When the process started, in the kernel's ticks: process numbers are used again.
    started: String,
}

/// The row as somebody left it.
struct Found {
    token: String,
    who: String,
    host: String,
    machine: String,
    pid: u32,
    started: String,
    heartbeat: f64,
    expires: f64,
}

impl Found {
    fn read(database: &Connection) -> rusqlite::Result<Option<Self>> {
        database
            .query_row(
                "SELECT token, who, host, machine, pid, started, heartbeat, expires FROM lease",
                [],
                |row| {
                    Ok(Self {
                        token: row.get(0)?,
                        who: row.get(1)?,
                        host: row.get(2)?,
                        machine: row.get(3)?,
                        pid: row.get(4)?,
                        started: row.get(5)?,
                        heartbeat: row.get(6)?,
                        expires: row.get(7)?,
                    })
                },
            )
            .optional()
    }

    /// Whether its holder may still be at work.
    fn is_alive(&self, here: &Holder) -> bool {
        // A clock that is ahead of ours must not keep the project for ever.
        let renewed_lately = now() < self.expires && self.expires < now() + 20.0 * LASTS_S;
        let gone = !self.machine.is_empty()
            && self.machine == here.machine
            && started(self.pid).is_none_or(|started| started != self.started);
        renewed_lately && !gone
    }
}

impl Lease {
    /// Takes the lease when nobody living holds it.
    pub fn take(database: &mut Connection, who: &str, path: &Path) -> Result<Self, Error> {
        let holder = Holder::here(who);
        let transaction = database
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .doing("be opened to write", path)?;
        let found = Found::read(&transaction).doing("be opened to write", path)?;
        if let Some(found) = found.filter(|found| found.is_alive(&holder)) {
            return Err(Error::Held {
                who: found.who,
                host: found.host,
                seconds: (now() - found.heartbeat).max(0.0) as u64,
                path: path.to_owned(),
            });
        }
        holder
            .write(&transaction)
            .and_then(|()| transaction.commit())
            .doing("be opened to write", path)?;
        let renewer = renew_in_background(holder.clone(), path.to_owned());
        Ok(Self { holder, renewer })
    }

    /// Makes sure that the lease is still ours; one that ran out and that nobody took is taken again.
    pub fn check(&self, database: &Connection, path: &Path) -> Result<(), Error> {
        let found = Found::read(database).doing("be written", path)?;
        match found {
            Some(found) if found.token == self.holder.token => Ok(()),
            Some(found) if found.is_alive(&self.holder) => Err(Error::Lost {
                who: found.who,
                host: found.host,
                path: path.to_owned(),
            }),
            _ => self.holder.write(database).doing("be written", path),
        }
    }

    /// The person in whose name it was taken.
    pub fn who(&self) -> &str {
        &self.holder.who
    }

    /// Ends the lease, so that the next program need not wait.
    pub fn give_back(mut self, database: &Connection) {
        if let Some((sender, thread)) = self.renewer.take() {
            drop(sender);
            let _ = thread.join();
        }
        // A lease that could not be given back runs out by itself.
        let _ = database.execute("DELETE FROM lease WHERE token = ?1", [&self.holder.token]);
    }
}

impl Holder {
    fn here(who: &str) -> Self {
        let line = |path: &str| {
            std::fs::read_to_string(path)
                .map_or_else(|_| String::new(), |text| text.trim().to_owned())
        };
        let pid = std::process::id();
        let boot = line("/proc/sys/kernel/random/boot_id");
        let namespace = std::fs::read_link("/proc/self/ns/pid")
            .map_or_else(|_| String::new(), |link| link.display().to_string());
        let mut host = line("/proc/sys/kernel/hostname");
        if host.is_empty() {
            host = std::env::var("HOSTNAME").unwrap_or_else(|_| "another machine".to_owned());
        }
        let known = !boot.is_empty() && !namespace.is_empty() && started(pid).is_some();
        static OPENED: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let count = OPENED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Self {
            token: format!("{host} {pid} {count} {}", now()),
            who: who.to_owned(),
            host,
            machine: if known {
                format!("{boot} {namespace}")
            } else {
                String::new()
            },
            pid,
            started: started(pid).unwrap_or_default(),
        }
    }

    fn write(&self, database: &Connection) -> rusqlite::Result<()> {
        database
            .execute(
                "INSERT OR REPLACE INTO lease VALUES
                 (1, :token, :who, :host, :machine, :pid, :started, :now, :expires)",
                named_params! {
                    ":token": self.token, ":who": self.who, ":host": self.host, ":machine": self.machine,
                    ":pid": self.pid, ":started": self.started, ":now": now(), ":expires": now() + LASTS_S,
                },
            )
            .map(|_| ())
    }
}

/// When a process of this machine started; `None` when there is none of that number, or no way to know.
fn started(pid: u32) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces; field 22 of proc(5) is the 20th after it, field 3 the state.
    let mut fields = status.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    (state != "Z" && state != "X").then_some(())?;
    fields.nth(18).map(str::to_owned)
}

/// Renews the lease from a connection of its own, whatever the owner of the project is doing.
fn renew_in_background(
    holder: Holder,
    path: PathBuf,
) -> Option<(mpsc::Sender<()>, JoinHandle<()>)> {
    let (sender, closed) = mpsc::channel::<()>();
    let thread = std::thread::Builder::new()
        .name("lease".to_owned())
        .spawn(move || {
            let mut database = None;
            while closed.recv_timeout(RENEW_EVERY) == Err(RecvTimeoutError::Timeout) {
                if database.is_none() {
                    database = super::connect(&path, false).ok();
                }
                // A renewal that fails is tried again before the lease runs out.
                let _ = database.as_ref().map(|database| {
                    database.execute(
                        "UPDATE lease SET heartbeat = ?1, expires = ?2 WHERE token = ?3",
                        rusqlite::params![now(), now() + LASTS_S, holder.token],
                    )
                });
            }
        });
    thread.ok().map(|thread| (sender, thread))
}
