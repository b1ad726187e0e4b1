//! Small servers and clients on real sockets. Servers are threads that end with the scenario's process.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use super::SLOW;
use super::netns::Netns;

/// How long a client waits for an answer that must not come. Long enough for a first retransmission under emulation.
pub const SILENCE: Duration = Duration::from_millis(1500);
/// The same for a connection: a second SYN goes after a second.
const NO_CONNECTION: Duration = Duration::from_secs(3);

/// What an HTTP server answered.
#[derive(Debug)]
pub struct HttpReply {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Serves HTTP/1.1 on `port`, both families, one request a connection: `/bytes/N` has a body of N bytes, anything else `hello`.
pub fn serve_http(ns: &Netns, port: u16) {
    let listener = ns.run(|| TcpListener::bind(("::", port))).expect("a free port in a namespace of our own");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer_http(stream));
        }
    });
}

/// Sends back each UDP datagram that arrives at `port`, both families.
pub fn serve_udp_echo(ns: &Netns, port: u16) {
    let socket = ns.run(|| UdpSocket::bind(("::", port))).expect("a free port in a namespace of our own");
    thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..len], from);
        }
    });
}

/// One request on a connection of its own, however slow the machine is.
pub fn http_get(ns: &Netns, server: IpAddr, port: u16, path: &str) -> io::Result<HttpReply> {
    http_get_on(tcp_connect(ns, server, port)?, path)
}

/// One request on a connection of its own, which is opened, but not answered: gives up after [`SILENCE`].
pub fn http_get_in_vain(ns: &Netns, server: IpAddr, port: u16, path: &str) -> io::Result<HttpReply> {
    let stream = tcp_connect(ns, server, port)?;
    stream.set_read_timeout(Some(SILENCE))?;
    http_get_on(stream, path)
}

/// A connection, however slow the machine is. Its reads and writes have as much time.
pub fn tcp_connect(ns: &Netns, server: IpAddr, port: u16) -> io::Result<TcpStream> {
    tcp_connect_within(ns, server, port, SLOW)
}

/// Tries to open a connection where none is to be had.
pub fn tcp_connect_in_vain(ns: &Netns, server: IpAddr, port: u16) -> io::Result<TcpStream> {
    tcp_connect_within(ns, server, port, NO_CONNECTION)
}

fn tcp_connect_within(ns: &Netns, server: IpAddr, port: u16, patience: Duration) -> io::Result<TcpStream> {
    let stream = ns.run(|| TcpStream::connect_timeout(&SocketAddr::new(server, port), patience))?;
    stream.set_read_timeout(Some(SLOW))?;
    stream.set_write_timeout(Some(SLOW))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Asks an echo server and takes an answer of the same length, however slow the machine is.
pub fn ask(stream: &mut TcpStream, question: &[u8]) -> io::Result<()> {
    ask_for(stream, question, SLOW)
}

/// Asks an echo server where no answer is to come, and gives up after [`SILENCE`].
pub fn ask_in_vain(stream: &mut TcpStream, question: &[u8]) -> io::Result<()> {
    ask_for(stream, question, SILENCE)
}

fn ask_for(stream: &mut TcpStream, question: &[u8], patience: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(question)?;
    let mut answer = vec![0; question.len()];
    stream.read_exact(&mut answer)?;
    assert_eq!(answer, question);
    Ok(())
}

/// One request on a connection that is open already; reads until the server closes.
pub fn http_get_on(mut stream: TcpStream, path: &str) -> io::Result<HttpReply> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: server.test\r\nUser-Agent: e2e\r\nConnection: close\r\n\r\n")?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    parse_reply(&reply).ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "no whole HTTP response"))
}

/// Sends one datagram and waits for its echo, however slow the machine is.
pub fn udp_ask(ns: &Netns, server: IpAddr, port: u16, payload: &[u8]) -> io::Result<Vec<u8>> {
    udp_ask_for(ns, server, port, payload, SLOW)
}

/// Sends one datagram where no echo is to come, and gives up after [`SILENCE`].
pub fn udp_ask_in_vain(ns: &Netns, server: IpAddr, port: u16, payload: &[u8]) -> io::Result<Vec<u8>> {
    udp_ask_for(ns, server, port, payload, SILENCE)
}

/// Sends one datagram and waits so long for its echo.
pub fn udp_ask_for(ns: &Netns, server: IpAddr, port: u16, payload: &[u8], patience: Duration) -> io::Result<Vec<u8>> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = ns.run(|| UdpSocket::bind(any))?;
    socket.set_read_timeout(Some(patience))?;
    socket.connect((server, port))?;
    socket.send(payload)?;
    let mut buffer = vec![0; 65536];
    let len = socket.recv(&mut buffer)?;
    buffer.truncate(len);
    Ok(buffer)
}

fn answer_http(mut stream: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let path = request.split_whitespace().nth(1).unwrap_or("/");
    let body = match path.strip_prefix("/bytes/").and_then(|count| count.parse().ok()) {
        Some(count) => vec![b'.'; count],
        None => b"hello".to_vec(),
    };
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    stream.write_all(&body)
}

fn parse_reply(bytes: &[u8]) -> Option<HttpReply> {
    let head_len = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = str::from_utf8(&bytes[..head_len]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length: usize =
        head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).and_then(|length| length.parse().ok())?;
    let body = bytes[head_len..].to_vec();
    (body.len() == length).then_some(HttpReply { status, body })
}
