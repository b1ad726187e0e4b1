//! The client's traffic. Every function here runs on a thread inside the client's namespace.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

use super::cases::{Case, Family, HOME, Sender, Traffic};
use super::dns::{self, Kind};
use super::http::{Messages, Request, is_pattern};
use super::server::{DNS_PORT, HIDDEN_PORT, HTTP_PORT, is_timeout};
use super::{sockets, syn, topology};

const SCAN_FROM_PORT: u16 = 2000;

/// Which sockets a case used and how many answers came.
#[derive(Clone, Debug)]
pub struct Observed {
    /// With port 0 where ports do not tell the traffic.
    pub locals: Vec<SocketAddr>,
    pub sent: usize,
    pub answered: usize,
    /// Whether the last one was answered.
    pub last_answered: bool,
    /// What came instead of an answer, in a word.
    pub instead: &'static str,
    pub took: Duration,
}

/// Sends the traffic of a case and waits for the answers.
pub fn send(case: &Case) -> io::Result<Observed> {
    let ends = Ends {
        from: topology::sender(case.sender, case.family),
        to: topology::server(case.family),
        patience: case.patience(),
    };
    let started = Instant::now();
    let observed = match case.traffic {
        Traffic::Http(requests) => converse(ends, requests),
        Traffic::Download { bytes } => download(ends, bytes),
        Traffic::Connections { count } => connections(ends, count),
        Traffic::Dns { names, kind } => query(ends, &names(), kind),
        Traffic::Ping { count } => ping(ends, count),
        Traffic::Scan { closed_ports } => scan(ends, closed_ports),
    };
    observed.map(|observed| Observed { took: started.elapsed(), ..observed })
}

/// `GET /` as the user: does traffic pass at all?
pub fn fetch_home(family: Family) -> io::Result<()> {
    let patience = Duration::from_secs(3);
    let from = topology::sender(Sender::User, family);
    let stream = sockets::tcp(from, SocketAddr::new(topology::server(family), HTTP_PORT), patience)?;
    (&stream).write_all(&HOME.render())?;
    Messages::default().wait(&stream).map(|_| ())
}

#[derive(Clone, Copy)]
struct Ends {
    from: IpAddr,
    to: IpAddr,
    patience: Duration,
}

impl Observed {
    fn nothing_of(sent: usize, locals: Vec<SocketAddr>) -> Observed {
        Observed { locals, sent, answered: 0, last_answered: false, instead: "nothing", took: Duration::ZERO }
    }
}

fn converse(ends: Ends, requests: &[Request]) -> io::Result<Observed> {
    let stream = sockets::tcp(ends.from, SocketAddr::new(ends.to, HTTP_PORT), ends.patience)?;
    let mut observed = Observed::nothing_of(requests.len(), vec![stream.local_addr()?]);
    let mut messages = Messages::default();
    for request in requests {
        // On after a failure: what follows on a condemned connection must not arrive either.
        let response = (&stream).write_all(&request.render()).and_then(|()| messages.wait(&stream));
        match response {
            Ok(response) if response.status() == Some(200) => observed.answered += 1,
            Ok(_) => observed.instead = "another status",
            Err(error) => observed.instead = instead_of_an_answer(&error),
        }
    }
    observed.last_answered = observed.answered == observed.sent;
    if !observed.last_answered {
        // Give up with a reset: resending for minutes would keep the connection known to everybody.
        set_socket_linger(&stream, Some(Duration::ZERO))?;
    }
    Ok(observed)
}

fn download(ends: Ends, bytes: usize) -> io::Result<Observed> {
    let stream = sockets::tcp(ends.from, SocketAddr::new(ends.to, HTTP_PORT), ends.patience)?;
    let mut observed = Observed::nothing_of(1, vec![stream.local_addr()?]);
    write!(&stream, "GET /bytes/{bytes} HTTP/1.1\r\nHost: shop.lab.test\r\nUser-Agent: tidegate-lab/1.0\r\n\r\n")?;
    match Messages::default().wait(&stream) {
        Ok(response) if response.body.len() == bytes && is_pattern(&response.body) => observed.answered = 1,
        Ok(_) => observed.instead = "other bytes",
        Err(error) => observed.instead = instead_of_an_answer(&error),
    }
    observed.last_answered = observed.answered == 1;
    Ok(observed)
}

fn connections(ends: Ends, count: usize) -> io::Result<Observed> {
    let to = SocketAddr::new(ends.to, HTTP_PORT);
    let open = || sockets::tcp(ends.from, to, ends.patience);
    let streams = (0..count).map(|_| open()).collect::<io::Result<Vec<_>>>()?;
    let locals = streams.iter().map(|stream| stream.local_addr()).collect::<io::Result<_>>()?;
    let mut observed = Observed::nothing_of(count, locals);
    let answered = thread::scope(|scope| {
        let ask = |mut stream: &std::net::TcpStream| -> io::Result<()> {
            stream.write_all(&Request::get("/").render())?;
            Messages::default().wait(stream).map(|_| ())
        };
        let threads: Vec<_> = streams.iter().map(|stream| scope.spawn(move || ask(stream))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).filter(Result::is_ok).count()
    });
    observed.answered = answered;
    observed.last_answered = answered == count;
    Ok(observed)
}

fn query(ends: Ends, names: &[String], kind: Kind) -> io::Result<Observed> {
    let socket = sockets::udp(ends.from, SocketAddr::new(ends.to, DNS_PORT), ends.patience)?;
    let mut observed = Observed::nothing_of(names.len(), vec![socket.local_addr()?]);
    for (id, name) in (1..).zip(names) {
        socket.send(&dns::query(id, name, kind))?;
    }
    let last_id = u16::try_from(names.len()).ok();
    let mut buffer = [0; 1500];
    while observed.answered < observed.sent {
        match socket.recv(&mut buffer) {
            Ok(count) => {
                observed.answered += 1;
                observed.last_answered |= buffer.get(..count).and_then(dns::id) == last_id;
            }
            Err(error) => {
                observed.instead = instead_of_an_answer(&error);
                break;
            }
        }
    }
    Ok(observed)
}

fn ping(ends: Ends, count: usize) -> io::Result<Observed> {
    let socket = sockets::icmp(ends.from, ends.to, ends.patience)?;
    let mut observed = Observed::nothing_of(count, vec![SocketAddr::new(ends.from, 0)]);
    let echo_request = if ends.from.is_ipv4() { 8 } else { 128 };
    let mut buffer = [0; 1500];
    for sequence in 0..count {
        let mut message = vec![echo_request, 0, 0, 0, 0, 0];
        message.extend((sequence as u16).to_be_bytes());
        message.extend([0x42; 48]);
        socket.send(&message)?;
        match socket.recv(&mut buffer) {
            Ok(_) => observed.answered += 1,
            Err(error) => observed.instead = instead_of_an_answer(&error),
        }
    }
    observed.last_answered = observed.answered == count;
    Ok(observed)
}

fn scan(ends: Ends, closed_ports: usize) -> io::Result<Observed> {
    let ports: Vec<u16> = (SCAN_FROM_PORT..).take(closed_ports).chain([HIDDEN_PORT]).collect();
    let socket = sockets::raw_tcp(ends.from, ends.to, ends.patience)?;
    let mut observed = Observed::nothing_of(ports.len(), vec![SocketAddr::new(ends.from, 0)]);
    for (sent, port) in (1..).zip(&ports) {
        socket.send(&syn::bare_syn(ends.from, ends.to, *port))?;
        if sent % 16 == 0 {
            thread::sleep(Duration::from_millis(2)); // no faster than a scanner that wants answers
        }
    }
    // A reset is an answer, too: the SYN has arrived.
    let mut answered = BTreeSet::new();
    let mut buffer = [0; 1500];
    while answered.len() < ports.len() {
        let Ok(count) = socket.recv(&mut buffer) else { break };
        answered.extend(buffer.get(..count).and_then(|packet| syn::source_port(packet, ends.from.is_ipv4())));
    }
    observed.answered = answered.len();
    observed.last_answered = answered.contains(&HIDDEN_PORT);
    Ok(observed)
}

fn instead_of_an_answer(error: &io::Error) -> &'static str {
    match error.kind() {
        _ if is_timeout(error) => "nothing",
        io::ErrorKind::ConnectionReset => "a reset",
        io::ErrorKind::ConnectionRefused => "a refusal",
        io::ErrorKind::UnexpectedEof => "an early end",
        io::ErrorKind::BrokenPipe => "a closed connection",
        _ => "an error",
    }
}
