//! The one way that each request takes: token, body, a look at what it is, the stream, and the answer in the shape of the sender's system.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, header};
use axum::response::Response;
use axum::routing::{MethodRouter, post as post_to};
use bytes::Bytes;
use futures::future::try_join_all;
use tokio::sync::Semaphore;

use crate::io::decode::decompress::{Encoding, decompress};
use crate::io::decode::formats;
use crate::io::decode::split::SplitError;
use crate::io::intake::body::{BodyBudget, ReadBody};
use crate::io::intake::event_store::{EventStore, RawMessage};
use crate::io::intake::refusal::Refusal;
use crate::io::intake::stats::{Counted, IntakeStats};
use crate::io::intake::token::{self, Tokens, UnknownToken};
use crate::model::event::Kind;
use crate::model::limits::{HEADER_CHARS_MAX, MESSAGE_INFLATED_BYTES_MAX};

/// Takes in what senders post.
pub struct Intake {
    /// Where it goes.
    pub store: Arc<dyn EventStore>,
    /// Who may send.
    pub tokens: Tokens,
    /// What bodies may take of the memory.
    pub budget: BodyBudget,
    /// What is counted.
    pub stats: Arc<IntakeStats>,
    cutting: Semaphore,
}

/// A request that has been read.
pub struct Received<'a> {
    /// Its path, query and headers.
    pub head: &'a Parts,
    /// Its body, as sent.
    pub body: &'a Bytes,
}

impl Received<'_> {
    /// A header's text; nothing where it is missing, or is no text.
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// What is stored of it.
    pub fn message(&self, content: Content, client: Option<String>) -> RawMessage {
        let short = |name| self.header(name).filter(|value| value.len() <= HEADER_CHARS_MAX).map(String::from);
        let encoding = short(header::CONTENT_ENCODING).filter(|encoding| !encoding.eq_ignore_ascii_case("identity"));
        RawMessage {
            format: content.format,
            kind: content.kind,
            client,
            content_type: short(header::CONTENT_TYPE),
            content_encoding: encoding.or_else(|| content.encoding.map(String::from)),
            body: self.body.clone(),
        }
    }

    /// The media type without its parameters, in small letters.
    pub fn media_type(&self) -> String {
        let whole = self.header(header::CONTENT_TYPE).unwrap_or_default();
        whole.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

/// What a request holds.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    /// The name of the format.
    pub format: &'static str,
    /// The kind of its events, where the format has one kind only.
    pub kind: Option<Kind>,
    /// How its bytes are compressed, where the system does not name it in a header.
    pub encoding: Option<&'static str>,
}

impl Content {
    /// A format with one kind of events.
    pub const fn of(format: &'static str, kind: Kind) -> Self {
        Self { format, kind: Some(kind), encoding: None }
    }
}

/// Senders of one kind, with their shape of errors.
pub struct System {
    /// For metrics.
    pub name: &'static str,
    /// The answer to what is not taken in.
    pub refused: fn(&Parts, &Refusal) -> Response,
}

/// What becomes of a request that has been read.
pub struct Taken {
    /// What it holds. `None`: nothing that squelch has a use for, and the sender is to go on.
    pub content: Option<Content>,
    /// The answer once that is stored.
    pub answer: Response,
}

/// How it is found out.
pub enum Examine {
    /// Every request is of this format.
    Is(Content, fn() -> Response),
    /// The request says it.
    Ask(fn(&Received<'_>) -> Result<Taken, Refusal>),
    /// Nothing of it is of use: senders that insist on sending it are content with this answer.
    Ignore(fn() -> Response),
}

/// Finds a token in a body.
pub type TokenInBody = fn(&[u8]) -> Option<String>;

/// A path of a system.
pub struct Endpoint {
    /// Whose it is.
    pub system: &'static System,
    /// What a request holds, and the answer to it.
    pub examine: Examine,
    /// A token in the body, where the system has no other place for it.
    pub token_in_body: Option<TokenInBody>,
}

impl Endpoint {
    /// With a token in a header or the query, as nearly all.
    pub const fn new(system: &'static System, examine: Examine) -> Self {
        Self { system, examine, token_in_body: None }
    }
}

/// What is posted goes to this endpoint.
pub fn post(endpoint: &'static Endpoint) -> MethodRouter<Arc<Intake>> {
    post_to(move |State(intake): State<Arc<Intake>>, request: Request| async move { intake.take_in(endpoint, request).await })
}

impl Intake {
    /// Stores what comes from whoever shows one of the tokens.
    pub fn new(store: Arc<dyn EventStore>, tokens: Tokens, budget: BodyBudget, stats: Arc<IntakeStats>) -> Self {
        Self { store, tokens, budget, stats, cutting: Semaphore::new(1) }
    }

    /// Takes in one request and answers it.
    pub async fn take_in(&self, endpoint: &Endpoint, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let system = endpoint.system;
        let (mut format, mut bytes) = ("none", 0);
        let outcome = async {
            let admitted = self.admit(&head, body, endpoint.token_in_body).await?;
            bytes = admitted.body.bytes.len();
            let received = Received { head: &head, body: &admitted.body.bytes };
            let taken = match &endpoint.examine {
                Examine::Is(content, answer) => Taken { content: Some(*content), answer: answer() },
                Examine::Ask(examine) => examine(&received)?,
                Examine::Ignore(answer) => Taken { content: None, answer: answer() },
            };
            if let Some(content) = taken.content {
                format = content.format;
                self.store(received.message(content, admitted.client)).await?;
            }
            Ok(taken.answer)
        };
        let answer = outcome.await;
        let taken = if format == "none" { "ignored" } else { "stored" };
        let outcome = answer.as_ref().map_or_else(Refusal::outcome, |_| taken);
        self.stats.count(Counted { system: system.name, format, outcome }, bytes);
        answer.unwrap_or_else(|refusal| {
            tracing::debug!(system = system.name, format, %refusal, "a request is not taken in");
            (system.refused)(&head, &refusal)
        })
    }

    /// The body of a request whose sender may send. What cannot be stored anyway is not read.
    pub async fn admit(&self, head: &Parts, body: Body, token_in_body: Option<TokenInBody>) -> Result<Admitted, Refusal> {
        if let Some(why) = self.store.unreachable() {
            return Err(Refusal::Unavailable(why));
        }
        let mut shown = token::shown(&head.headers, &head.uri);
        let mut sender = self.tokens.sender(&shown);
        if sender.is_err() && token_in_body.is_none() {
            return Err(Refusal::Unauthorized);
        }
        let body = self.budget.read(&head.headers, body).await?;
        if let (Err(UnknownToken), Some(token_of)) = (sender.as_ref(), token_in_body) {
            shown.extend(token_of(&body.bytes));
            sender = self.tokens.sender(&shown);
        }
        Ok(Admitted { body, client: sender.map_err(|UnknownToken| Refusal::Unauthorized)? })
    }

    /// Stores a body, in as many messages as it needs; done when the stream has all of them.
    pub async fn store(&self, message: RawMessage) -> Result<(), Refusal> {
        if message.body.is_empty() {
            return Err(Refusal::Empty);
        }
        claimed_size(&message.body, message.content_encoding.as_deref())?;
        let storing = self.parts(message).await?.into_iter().map(|part| self.store.store(part));
        try_join_all(storing).await.map(drop).map_err(|error| Refusal::Unavailable(error.to_string()))
    }

    /// The message, or parts of it that the server takes.
    async fn parts(&self, message: RawMessage) -> Result<Vec<RawMessage>, Refusal> {
        let max = self.store.body_bytes_max();
        if message.body.len() <= max {
            return Ok(vec![message]);
        }
        // What is inflated and cut is in memory several times: one after the other is enough.
        let _turn = self.cutting.acquire().await.map_err(|_| Refusal::Overloaded)?;
        let cut = tokio::task::spawn_blocking(move || cut(message, max)).await;
        cut.map_err(|error| Refusal::Unavailable(error.to_string()))?
    }
}

/// A request whose sender may send.
pub struct Admitted {
    /// Its body.
    pub body: ReadBody,
    /// The name of the token that it has shown.
    pub client: Option<String>,
}

/// Cuts a message that is too large for the server between its records. The parts are not compressed.
fn cut(message: RawMessage, max: usize) -> Result<Vec<RawMessage>, Refusal> {
    let whole = || Refusal::TooLarge { bytes: message.body.len(), max };
    let format = formats::of_name(message.format).ok_or_else(whole)?;
    let encoding = Encoding::of_header(message.content_encoding.as_deref().unwrap_or_default()).ok_or_else(whole)?;
    let inflated = decompress(&message.body, encoding).map_err(Refusal::Malformed)?;
    let parts = (format.split)(&inflated, max).map_err(|error| match error {
        SplitError::Malformed(_) => Refusal::Malformed(error.to_string()),
        _ => Refusal::NotCut(error.to_string()),
    })?;
    let part =
        |body: Cow<'_, [u8]>| RawMessage { body: Bytes::from(body.into_owned()), content_encoding: None, ..message.clone() };
    Ok(parts.into_iter().map(part).collect())
}

/// A snappy block says first how large it is inflated: one that claims too much is not stored.
fn claimed_size(body: &[u8], encoding: Option<&str>) -> Result<(), Refusal> {
    if encoding != Some("snappy") {
        return Ok(());
    }
    match snap::raw::decompress_len(body) {
        Ok(bytes) if bytes > MESSAGE_INFLATED_BYTES_MAX => Err(Refusal::TooLarge { bytes, max: MESSAGE_INFLATED_BYTES_MAX }),
        Ok(_) => Ok(()),
        Err(error) => Err(Refusal::Malformed(format!("no snappy block: {error}"))),
    }
}
