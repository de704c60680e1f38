//! A stand-in of a mail server: speaks SMTP, keeps every mail that it takes, and fails as it is told. TLS by a certificate of its own.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How the next mail fares.
#[derive(Clone, Debug)]
pub enum MailMood {
    /// Refused with this line, in place of being taken.
    Refuse(&'static str),
    /// It is taken, and the connection ends before the answer.
    TakeAndHangUp,
    /// The sender is greeted with nonsense.
    Garbage,
}

#[derive(Default)]
struct Shared {
    mails: Mutex<Vec<String>>,
    moods: Mutex<VecDeque<MailMood>>,
}

/// A running mail server.
pub struct MailStandIn {
    shared: Arc<Shared>,
    pub port: u16,
}

impl MailStandIn {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&of_thread);
                std::thread::spawn(move || drop(talk(stream.unwrap(), &shared)));
            }
        });
        Self { shared, port }
    }

    pub fn moods(&self, moods: impl IntoIterator<Item = MailMood>) {
        self.shared.moods.lock().unwrap().extend(moods);
    }

    /// All that comes from here on is answered with success.
    pub fn recover(&self) {
        self.shared.moods.lock().unwrap().clear();
    }

    /// All mails that were taken.
    pub fn mails(&self) -> Vec<String> {
        self.shared.mails.lock().unwrap().clone()
    }

    pub fn wait(&self, number: usize) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.mails().len() < number {
            assert!(Instant::now() < deadline, "{number} mails never come: {:#?}", self.mails());
            std::thread::sleep(Duration::from_millis(20));
        }
        self.mails()
    }
}

/// One conversation.
fn talk(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    let mut say = |text: &str| stream.write_all(format!("{text}\r\n").as_bytes());
    let mut mood = shared.moods.lock().unwrap().pop_front();
    if matches!(mood, Some(MailMood::Garbage)) {
        return say("HTTP/1.1 400 Bad Request");
    }
    say("220 stand-in ESMTP")?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let verb = line.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => say("250-stand-in\r\n250 8BITMIME")?,
            "HELO" | "MAIL" | "RCPT" | "RSET" | "NOOP" => say("250 good")?,
            "QUIT" => return say("221 bye"),
            "DATA" => {
                say("354 go on")?;
                let mut mail = String::new();
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line)? == 0 {
                        return Ok(());
                    }
                    if line == ".\r\n" {
                        break;
                    }
                    mail.push_str(line.strip_prefix('.').unwrap_or(&line));
                }
                if let Some(MailMood::Refuse(answer)) = mood.take_if(|mood| matches!(mood, MailMood::Refuse(_))) {
                    say(answer)?;
                    continue;
                }
                shared.mails.lock().unwrap().push(mail);
                if matches!(mood, Some(MailMood::TakeAndHangUp)) {
                    return Ok(());
                }
                say("250 taken")?;
            }
            _ => say("502 what")?,
        }
    }
}

/// A header of a mail, unfolded.
pub fn header(mail: &str, name: &str) -> Option<String> {
    let head = mail.split("\r\n\r\n").next().unwrap_or_default().replace("\r\n ", " ").replace("\r\n\t", " ");
    let wanted = format!("{}:", name.to_ascii_lowercase());
    head.lines().find(|line| line.to_ascii_lowercase().starts_with(&wanted)).map(|line| line[wanted.len()..].trim().to_string())
}
