//! A browser without JavaScript, as small as can be.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// After so long a state is not expected any more. Generous: it only ends a test that would never end.
const STATE_WAIT_MAX: Duration = Duration::from_secs(240);

/// What a site answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// A header by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Sends a request; `more` are headers.
pub fn send(port: u16, method: &str, path: &str, more: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = request(port, method, path, more, body);
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {path}: no answer: {text}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.into(), body: body.into() }
}

fn request(port: u16, method: &str, path: &str, more: &[(&str, &str)], body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut head = format!("{method} {path} HTTP/1.0\r\n");
    if !more.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str(&format!("Host: 127.0.0.1:{port}\r\n"));
    }
    for (name, value) in more {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n", body.len()));
    }
    write!(stream, "{head}\r\n{body}").unwrap();
    stream
}

/// A page.
pub fn get(port: u16, path: &str) -> Answer {
    send(port, "GET", path, &[], "")
}

/// Sends a form, as a page of the same site does.
pub fn post(port: u16, path: &str, form: &str) -> Answer {
    send(port, "POST", path, &[("Origin", &format!("http://127.0.0.1:{port}"))], form)
}

/// Asks for a page until it is as wanted.
pub fn wait_for(port: u16, path: &str, wanted: &dyn Fn(&Answer) -> bool) -> Answer {
    let deadline = Instant::now() + STATE_WAIT_MAX;
    loop {
        let answer = get(port, path);
        if wanted(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{path} never is as wanted: {} {}", answer.head, answer.body);
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The text between `before` and the next quotation mark: an attribute.
pub fn attribute(body: &str, before: &str) -> String {
    let (_, rest) = body.split_once(before).unwrap_or_else(|| panic!("{before} is not in {body}"));
    rest.split('"').next().unwrap().replace("&#x2f;", "/").replace("&amp;", "&")
}

/// Listens for news. Each is the name of the event and its data.
pub struct News(BufReader<TcpStream>);

impl News {
    pub fn listen(port: u16, path: &str) -> Self {
        let mut reader = BufReader::new(request(port, "GET", path, &[], ""));
        reader.get_ref().set_read_timeout(Some(STATE_WAIT_MAX)).unwrap();
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            assert!(reader.read_line(&mut line).unwrap() > 0, "no answer");
            assert!(!line.starts_with("HTTP/") || line.contains(" 200 "), "{line}");
        }
        Self(reader)
    }

    /// The next event; nothing at the end.
    pub fn next(&mut self) -> Option<(String, String)> {
        let (mut name, mut data) = (String::new(), Vec::new());
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            let line = line.trim_end_matches(['\r', '\n']);
            match line.split_once(": ") {
                Some(("event", event)) => name = event.into(),
                Some(("data", text)) => data.push(text.to_string()),
                _ if line.is_empty() && !name.is_empty() => return Some((name, data.join("\n"))),
                _ => {}
            }
        }
    }
}
