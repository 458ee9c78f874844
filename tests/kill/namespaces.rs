//! Two network namespaces with a cable between them: what happens in there concerns nobody else on the machine.

use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};

/// The end of the cable where the server and the way to it are.
pub const NEAR: &str = "10.77.0.1";

/// A namespace; a process that does nothing keeps it.
pub struct Namespace {
    keeper: Child,
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

fn tool(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| format!("{command:?}: {}", said.trim()))
}

impl Namespace {
    fn new() -> Result<Namespace, String> {
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "sleep", "3600"]);
        unshare.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let keeper = unshare.spawn().map_err(|error| format!("unshare: {error}"))?;
        let namespace = Namespace { keeper };
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        // It is in its namespace once it has become what it is to do.
        for _ in 0..1000 {
            match std::fs::read_link(namespace.path()) {
                Ok(there) if there != own => return Ok(namespace),
                _ => std::thread::sleep(std::time::Duration::from_millis(2)),
            }
        }
        Err("no network namespace of one's own".to_string())
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.keeper.id())
    }

    /// A command that will run in there.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path())).arg(program);
        command
    }

    fn ip(&self, arguments: &str) -> Result<(), String> {
        tool(self.command("ip").args(arguments.split(' ')))
    }

    /// Runs on a thread whose sockets are in there.
    pub fn within<T: Send>(&self, call: impl FnOnce() -> T + Send) -> T {
        let door = std::fs::File::open(self.path()).unwrap();
        std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                // SAFETY: takes numbers only; it concerns this thread and those it starts.
                let done = unsafe { libc::setns(door.as_raw_fd(), libc::CLONE_NEWNET) };
                assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
                call()
            });
            inside.join().unwrap()
        })
    }
}

/// Both ends.
pub struct Cable {
    pub near: Namespace,
    pub far: Namespace,
}

impl Cable {
    /// Or why there is none on this machine.
    pub fn new() -> Result<Cable, String> {
        let cable = Cable { near: Namespace::new()?, far: Namespace::new()? };
        let far = cable.far.keeper.id();
        cable.near.ip(&format!("link add cable type veth peer name cable netns {far}"))?;
        for (end, address) in [(&cable.near, NEAR), (&cable.far, "10.77.0.2")] {
            end.ip("link set lo up")?;
            end.ip(&format!("addr add {address}/24 dev cable"))?;
            end.ip("link set cable up")?;
        }
        Ok(cable)
    }

    /// Pulls the cable out, or puts it back.
    pub fn plug(&self, is_in: bool) {
        self.near.ip(&format!("link set cable {}", if is_in { "up" } else { "down" })).unwrap();
    }
}
