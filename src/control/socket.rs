//! The control socket: one JSON object a line, asked and answered over a Unix socket.
//!
//! A request is `{"command": "...", ...}`; an answer `{"return": "OK"|"NOK", "message": ...}`, as Suricata's users know it.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};
use thiserror::Error;

const REQUEST_BYTES_MAX: u64 = 64 << 10;
const ANSWER_BYTES_MAX: u64 = 256 << 20;
/// Of one client, before the next has its turn.
pub const REQUEST_COUNT_MAX: usize = 256;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A client that says nothing is let go; the next one is waiting.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
const STOP_POLL: Duration = Duration::from_millis(100);

/// Answers one request. `Err` becomes `NOK`.
pub type Handler = dyn Fn(&Value) -> Result<Value, String> + Send + Sync;

#[derive(Debug, Error)]
pub enum SocketError {
    #[error(
        "another tidegate answers at {}: stop it first, or give this one another socket (unix-command.filename) and other queues",
        .0.display()
    )]
    InUse(PathBuf),
    #[error("cannot use the control socket {}", path.display())]
    Open { path: PathBuf, source: std::io::Error },
    #[error(
        "no tidegate answers at {}: start one with `tidegate run`, or name its socket with --socket",
        .0.display()
    )]
    NobodyThere(PathBuf),
    #[error(
        "the tidegate at {} has not answered within {} s: it is busy, with a reload or with another client (one is served at a \
         time), or it is stopped. Ask again; if it stays silent, its log says more",
        path.display(),
        waited.as_secs()
    )]
    Silent { path: PathBuf, waited: Duration },
    #[error("talking to the tidegate at {}", path.display())]
    Talk { path: PathBuf, source: std::io::Error },
    #[error("{0}")]
    Refused(String),
}

/// The bound socket, before its thread runs: binding comes first so that a second copy stops before it touches anything.
#[derive(Debug)]
pub struct ControlSocket {
    path: PathBuf,
    listener: UnixListener,
}

impl ControlSocket {
    /// Binds `path`, mode 0600. A dead program's socket file is replaced, a living one's is not.
    pub fn bind(path: &Path) -> Result<ControlSocket, SocketError> {
        let failed = |source| SocketError::Open { path: path.to_owned(), source };
        if UnixStream::connect(path).is_ok() {
            return Err(SocketError::InUse(path.to_owned()));
        }
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(failed)?;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(ControlSocket { path: path.to_owned(), listener })
    }

    /// Answers clients one after another until `stop`.
    pub fn serve(self, stop: Arc<AtomicBool>, handler: Arc<Handler>) -> std::io::Result<JoinHandle<()>> {
        thread::Builder::new().name("tg-control".to_owned()).spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                match self.listener.accept() {
                    Ok((client, _)) => {
                        // A client that hangs up early is its own business.
                        let _ = answer(client, &*handler, &stop);
                    }
                    Err(_) => thread::sleep(STOP_POLL),
                }
            }
            let _ = fs::remove_file(&self.path);
        })
    }
}

/// Asks a running gate one thing.
pub fn ask(path: &Path, request: &Value) -> Result<Value, SocketError> {
    Client::connect(path)?.ask(request)
}

/// A connection to a running gate, for several questions one after another. While it is open nobody else is answered.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    stream: BufReader<UnixStream>,
    /// For an answer.
    patience: Duration,
}

impl Client {
    pub fn connect(path: &Path) -> Result<Client, SocketError> {
        let stream = UnixStream::connect(path).map_err(|_| SocketError::NobodyThere(path.to_owned()))?;
        Client::waiting(path, stream, ANSWER_TIMEOUT)
    }

    fn waiting(path: &Path, stream: UnixStream, patience: Duration) -> Result<Client, SocketError> {
        let client = Client { path: path.to_owned(), stream: BufReader::new(stream), patience };
        let stream = client.stream.get_ref();
        let set = stream.set_read_timeout(Some(patience)).and_then(|()| stream.set_write_timeout(Some(patience)));
        set.map_err(|source| client.failed(source))?;
        Ok(client)
    }

    /// At most [`REQUEST_COUNT_MAX`] times.
    pub fn ask(&mut self, request: &Value) -> Result<Value, SocketError> {
        let line = self.exchange(request).map_err(|source| self.failed(source))?;
        let mut answer: Value = serde_json::from_str(&line).map_err(|error| self.failed(error.into()))?;
        let message = answer.get_mut("message").map(Value::take).unwrap_or_default();
        match answer.get("return").and_then(Value::as_str) {
            Some("OK") => Ok(message),
            _ => Err(SocketError::Refused(message.as_str().unwrap_or("refused without a reason").to_owned())),
        }
    }

    fn exchange(&mut self, request: &Value) -> std::io::Result<String> {
        writeln!(self.stream.get_mut(), "{request}")?;
        let mut line = String::new();
        (&mut self.stream).take(ANSWER_BYTES_MAX).read_line(&mut line)?;
        Ok(line)
    }

    fn failed(&self, source: std::io::Error) -> SocketError {
        let path = self.path.clone();
        match source.kind() {
            // A timeout of a Unix socket is EAGAIN.
            ErrorKind::WouldBlock | ErrorKind::TimedOut => SocketError::Silent { path, waited: self.patience },
            _ => SocketError::Talk { path, source },
        }
    }
}

/// Answers one client until it has no more questions. A stop does not wait for those.
fn answer(client: UnixStream, handler: &Handler, stop: &AtomicBool) -> std::io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(CLIENT_TIMEOUT))?;
    client.set_write_timeout(Some(CLIENT_TIMEOUT))?;
    let mut requests = BufReader::new(&client);
    for _ in 0..REQUEST_COUNT_MAX {
        let mut line = String::new();
        if (&mut requests).take(REQUEST_BYTES_MAX).read_line(&mut line)? == 0 {
            break;
        }
        let result = match serde_json::from_str::<Value>(&line) {
            Ok(request) => handler(&request),
            Err(error) => Err(format!("the request is no JSON object on one line: {error}")),
        };
        let reply = match result {
            Ok(message) => json!({ "return": "OK", "message": message }),
            Err(message) => json!({ "return": "NOK", "message": message }),
        };
        writeln!(&client, "{reply}")?;
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo() -> Arc<Handler> {
        Arc::new(|request| match request.get("command").and_then(Value::as_str) {
            Some("echo") => Ok(request.clone()),
            other => Err(format!("unknown command {other:?}")),
        })
    }

    #[test]
    fn silence_has_a_name_and_a_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.socket");
        // Somebody listens, and answers nobody.
        let _listener = UnixListener::bind(&path).unwrap();
        let stream = UnixStream::connect(&path).unwrap();
        let mut client = Client::waiting(&path, stream, Duration::from_millis(10)).unwrap();
        let error = client.ask(&json!({ "command": "echo" })).unwrap_err();
        assert!(matches!(error, SocketError::Silent { .. }), "{error}");
        let told = error.to_string();
        assert!(told.contains("control.socket has not answered within 0 s") && told.contains("Ask again"), "{told}");
    }

    #[test]
    fn questions_are_answered_a_second_copy_is_refused_and_a_stale_file_is_not_in_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/control.socket");
        let stop = Arc::new(AtomicBool::new(false));
        let thread = ControlSocket::bind(&path).unwrap().serve(Arc::clone(&stop), echo()).unwrap();

        let request = json!({ "command": "echo", "x": 1 });
        assert_eq!(ask(&path, &request).unwrap(), request);
        let mut client = Client::connect(&path).unwrap();
        for _ in 0..REQUEST_COUNT_MAX {
            assert_eq!(client.ask(&request).unwrap(), request);
        }
        assert!(client.ask(&request).is_err(), "now it is others' turn");
        assert!(matches!(ask(&path, &json!({ "command": "?" })), Err(SocketError::Refused(_))));
        assert!(matches!(ControlSocket::bind(&path), Err(SocketError::InUse(_))));

        stop.store(true, Ordering::Relaxed);
        thread.join().unwrap();
        assert!(matches!(ask(&path, &request), Err(SocketError::NobodyThere(_))));
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a dead program's socket file");
        assert!(ControlSocket::bind(&path).is_ok());
    }
}
