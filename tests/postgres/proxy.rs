//! Stands between a server and its database, and lets nothing through where a test says so.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
};

/// Forwards connections. Its threads end with the test's process.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    line: Line,
    open: Vec<TcpStream>,
}

/// What becomes of what arrives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Whole,
    /// New connections are closed, those that are open go on.
    Full,
    /// Connections are closed.
    Cut,
    /// Connections stay, and nothing comes through.
    Frozen,
    /// The same, and what is sent is lost: what is silent now stays so.
    Lost,
}

// === impl Proxy ===

impl Proxy {
    /// Forwards to this address.
    pub(crate) fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { line: Line::Whole, open: Vec::new() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let theirs = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                theirs.connect(client, target);
            }
        });
        Self { address, shared }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections, and new ones at once.
    pub(crate) fn cut(&self) {
        let mut state = self.set(Line::Cut);
        for socket in state.open.drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Closes new connections at once.
    pub(crate) fn fill(&self) {
        drop(self.set(Line::Full));
    }

    /// Leaves connections open and holds back what is sent through them.
    pub(crate) fn freeze(&self) {
        drop(self.set(Line::Frozen));
    }

    /// Leaves connections open and loses what is sent through them. They stay dead afterwards.
    pub(crate) fn lose(&self) {
        drop(self.set(Line::Lost));
    }

    /// Lets everything through again.
    pub(crate) fn mend(&self) {
        drop(self.set(Line::Whole));
    }

    fn set(&self, line: Line) -> MutexGuard<'_, State> {
        let mut state = self.shared.state.lock().unwrap();
        state.line = line;
        self.shared.changed.notify_all();
        state
    }
}

// === impl Shared ===

impl Shared {
    fn connect(self: &Arc<Self>, client: TcpStream, target: SocketAddr) {
        let mut state = self.state.lock().unwrap();
        if matches!(state.line, Line::Full | Line::Cut) {
            return;
        }
        let Ok(server) = TcpStream::connect(target) else { return };
        for (from, to) in [(&client, &server), (&server, &client)] {
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            let shared = Arc::clone(self);
            thread::spawn(move || shared.forward(from, to));
        }
        state.open.extend([client, server]);
    }

    fn forward(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 16 * 1024];
        let mut is_dead = false;
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let state = self.state.lock().unwrap();
            let state = self.changed.wait_while(state, |state| state.line == Line::Frozen).unwrap();
            is_dead |= state.line == Line::Lost;
            drop(state);
            if is_dead {
                continue;
            }
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
}
