//! A way to a server with all that can happen on one: it is slow, it breaks, it swallows, it changes and repeats.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Bytes of a conversation that are kept to be said again.
const RECORD_BYTES: usize = 256 << 10;

/// To the server, or from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Up,
    Down,
}

/// What the way is like now.
#[derive(Default)]
pub struct Weather {
    /// What is read is handed on so much later.
    pub delay_ms: AtomicU64,
    /// At most so many bytes at once, a millisecond apart; 0 for as many as there are.
    pub portion: AtomicUsize,
    /// Swallows, in this direction.
    pub hole: [AtomicBool; 2],
    /// Breaks each connection as soon as it can.
    pub breaks: AtomicBool,
    /// The next portion has a flipped bit.
    pub flips: AtomicBool,
    /// The next portion comes twice.
    pub doubles: AtomicBool,
    /// Connections so far.
    pub connections: AtomicUsize,
    /// How many of them met something.
    pub met: AtomicUsize,
    /// Each next connection is cut after so many bytes of a direction.
    cuts: Mutex<Vec<(Direction, usize)>>,
    /// What was said to the server on the connection that was opened last.
    said: Mutex<Vec<u8>>,
}

impl Weather {
    pub fn cut_next(&self, direction: Direction, bytes: usize) {
        self.cuts.lock().unwrap().push((direction, bytes));
    }

    /// All is well from now on.
    pub fn clear(&self) {
        self.delay_ms.store(0, Ordering::SeqCst);
        self.portion.store(0, Ordering::SeqCst);
        for one in self.hole.iter().chain([&self.breaks, &self.flips, &self.doubles]) {
            one.store(false, Ordering::SeqCst);
        }
        self.cuts.lock().unwrap().clear();
    }

    /// What was said to the server last, to say it again.
    pub fn said(&self) -> Vec<u8> {
        self.said.lock().unwrap().clone()
    }

    fn is_hole(&self, direction: Direction) -> bool {
        self.hole[direction as usize].load(Ordering::SeqCst)
    }
}

/// One connection, in one direction.
struct Pipe<'a> {
    weather: &'a Weather,
    direction: Direction,
    ended: &'a AtomicBool,
    left: usize,
}

impl Pipe<'_> {
    fn run(&mut self, mut from: &TcpStream, mut to: &TcpStream) {
        let mut buffer = vec![0; 16 << 10];
        while !self.ended.load(Ordering::SeqCst) && !self.weather.breaks.load(Ordering::SeqCst) {
            let portion = match self.weather.portion.load(Ordering::SeqCst) {
                0 => buffer.len(),
                few => few.min(buffer.len()),
            };
            let count = match from.read(&mut buffer[..portion.min(self.left)]) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                Err(_) => break,
            };
            if portion < buffer.len() {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(self.weather.delay_ms.load(Ordering::SeqCst)));
            if self.weather.is_hole(self.direction) {
                // A byte that is gone takes the connection with it, once the hole is closed.
                while self.weather.is_hole(self.direction) && !self.ended.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(2));
                }
                break;
            }
            if !self.hand_on(&mut buffer[..count], &mut to) {
                break;
            }
        }
        self.ended.store(true, Ordering::SeqCst);
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }

    fn hand_on(&mut self, bytes: &mut [u8], to: &mut impl Write) -> bool {
        self.left -= bytes.len();
        if self.direction == Direction::Up {
            let mut said = self.weather.said.lock().unwrap();
            let room = RECORD_BYTES.saturating_sub(said.len());
            said.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        if self.weather.flips.swap(false, Ordering::SeqCst) {
            bytes[bytes.len() / 2] ^= 1;
        }
        if self.weather.doubles.swap(false, Ordering::SeqCst) && to.write_all(bytes).is_err() {
            return false;
        }
        to.write_all(bytes).is_ok() && self.left > 0
    }
}

/// Opens the way; it lasts as long as the process.
pub fn open(host: &str, server: Arc<Mutex<SocketAddr>>, weather: Arc<Weather>) -> SocketAddr {
    let listener = TcpListener::bind((host, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (server, weather) = (server.clone(), weather.clone());
            std::thread::spawn(move || {
                let there = *server.lock().unwrap();
                // Where the server is down its port refuses, and so does the way.
                let Ok(server) = TcpStream::connect(there) else { return };
                carry(&client, &server, &weather);
            });
        }
    });
    address
}

fn carry(client: &TcpStream, server: &TcpStream, weather: &Weather) {
    for one in [client, server] {
        one.set_nodelay(true).unwrap();
        one.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        one.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    }
    weather.connections.fetch_add(1, Ordering::SeqCst);
    weather.said.lock().unwrap().clear();
    let cut = weather.cuts.lock().unwrap().pop();
    weather.met.fetch_add(usize::from(cut.is_some()), Ordering::SeqCst);
    let ended = AtomicBool::new(false);
    let pipe = |direction| {
        let left = cut.filter(|(of, _)| *of == direction).map_or(usize::MAX, |(_, bytes)| bytes);
        Pipe { weather, direction, ended: &ended, left }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| pipe(Direction::Up).run(client, server));
        pipe(Direction::Down).run(server, client);
    });
}
