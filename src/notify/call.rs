//! What is to be sent, and what came back: described here, done in `io`.

/// One request to a receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Which step of the message it is. What was done is recorded by this name.
    pub step: &'static str,
    /// It only asks: that it was begun need not be recorded.
    pub only_asks: bool,
    /// Where it goes, and what.
    pub request: Request,
}

/// What goes out.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// An HTTP request.
    Http(HttpRequest),
    /// A mail.
    Mail(Box<Mail>),
    /// A message on NATS.
    Publish(Publish),
}

/// An HTTP request.
#[derive(Clone, PartialEq)]
pub struct HttpRequest {
    /// `POST`, `PATCH` or `GET`.
    pub method: &'static str,
    /// From the settings alone, never from an event.
    pub url: String,
    /// Some hold secrets: they are never logged.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Headers and URLs may hold secrets.
impl std::fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpRequest").field("method", &self.method).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// A mail.
#[derive(Clone, Debug, PartialEq)]
pub struct Mail {
    /// The sender.
    pub from: String,
    /// The readers.
    pub to: Vec<String>,
    /// The same for all mails of one incident: mail programs split a thread when it changes.
    pub subject: String,
    /// With angle brackets.
    pub message_id: String,
    /// The first mail of the thread, where this is a later one.
    pub in_reply_to: Option<String>,
    /// Plain text.
    pub text: String,
    /// The same for a mail program that shows HTML.
    pub html: String,
}

/// A message on NATS.
#[derive(Clone, Debug, PartialEq)]
pub struct Publish {
    /// The subject.
    pub subject: String,
    /// By which a stream drops repeats.
    pub message_id: String,
    /// Besides the id.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The other side answered.
    Http {
        /// The status code.
        status: u16,
        /// In seconds, where there was a `Retry-After`.
        retry_after_s: Option<i64>,
        /// As much of the body as counts.
        body: Vec<u8>,
    },
    /// Mail server or NATS took it.
    Accepted,
    /// Mail server or NATS refused it for now.
    RefusedForNow(String),
    /// Mail server or NATS refused it for good.
    RefusedForGood(String),
    /// The mail server refuses the sign-in.
    RefusedSignIn(String),
    /// It never left: no connection, no TLS.
    NotSent(String),
    /// It left, and nobody knows what became of it.
    Unknown(String),
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The step is done.
    Done,
    /// The answer to a question: whether the step that was begun was done.
    WasDone(bool),
    /// The answer to a question that leads to the next question.
    AskOn,
    /// Later: nothing is wrong with the message.
    Retry {
        /// Why.
        why: String,
        /// At the earliest.
        after_ms: Option<i64>,
        /// Whether the message may have arrived all the same.
        unknown: bool,
    },
    /// The receiver takes nothing as it is set up: it is asked again, seldom, and somebody must mend it.
    Misconfigured(String),
    /// This message will never be taken. It is given up.
    Final(String),
}

/// Bytes of an answer's body that a reason quotes.
const QUOTED_CHARS_MAX: usize = 200;

impl Answer {
    /// What the answer of an ordinary HTTP service means: 2xx only is success, 408, 429 and 5xx are for now, 401, 403 and 404 are the settings'
    /// fault, every other answer is final.
    pub fn verdict(&self) -> Verdict {
        match self {
            Answer::Http { status: 200..=299, .. } | Answer::Accepted => Verdict::Done,
            Answer::Http { status: 401 | 403 | 404, .. } | Answer::RefusedSignIn(_) => Verdict::Misconfigured(self.in_words()),
            Answer::Http { status: 408 | 425 | 429 | 500..=599, retry_after_s, .. } => {
                let after_ms = retry_after_s.map(|seconds| seconds.saturating_mul(1_000));
                // A gateway that gave up may have passed the request on.
                let unknown = matches!(self, Answer::Http { status: 408 | 500..=599, .. });
                Verdict::Retry { why: self.in_words(), after_ms, unknown }
            }
            Answer::Http { .. } | Answer::RefusedForGood(_) => Verdict::Final(self.in_words()),
            Answer::RefusedForNow(why) | Answer::NotSent(why) => {
                Verdict::Retry { why: why.clone(), after_ms: None, unknown: false }
            }
            Answer::Unknown(why) => Verdict::Retry { why: why.clone(), after_ms: None, unknown: true },
        }
    }

    /// For people.
    pub fn in_words(&self) -> String {
        match self {
            Answer::Http { status, body, .. } => {
                let text: String = String::from_utf8_lossy(body).chars().take(QUOTED_CHARS_MAX).collect();
                let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
                if text.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {text}") }
            }
            Answer::Accepted => "accepted".into(),
            Answer::RefusedForNow(why)
            | Answer::RefusedForGood(why)
            | Answer::RefusedSignIn(why)
            | Answer::NotSent(why)
            | Answer::Unknown(why) => why.clone(),
        }
    }
}
