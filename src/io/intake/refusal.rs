//! Why a request is not taken in: what every system's error answer is made of. What the sender can mend is a 4xx, and it drops that
//! request; all else is a 503 with `Retry-After`, and it sends it again.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

/// How soon a sender is asked to come again.
const RETRY_AFTER_S: u64 = 5;

/// Why a request is not taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no token, or none that is known.
    #[error("no valid token: see intake.tokens in squelch.yaml")]
    Unauthorized,
    /// The body is empty.
    #[error("the body is empty")]
    Empty,
    /// The body cannot be what the endpoint takes.
    #[error("{0}")]
    Malformed(String),
    /// The endpoint does not take this type or encoding.
    #[error("{0}")]
    UnsupportedType(String),
    /// The body is too large.
    #[error("the body is too large: {bytes} bytes of at most {max}")]
    TooLarge {
        /// As far as is known.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The body is too large for the server, and cannot be cut.
    #[error("{0}")]
    NotCut(String),
    /// The body came too slowly, or its sender went away.
    #[error("the body did not come in time")]
    Slow,
    /// Too much is under way.
    #[error("too much is under way: send it again later")]
    Overloaded,
    /// It cannot be stored now.
    #[error("cannot store it now: {0}")]
    Unavailable(String),
}

impl Refusal {
    /// For metrics.
    pub fn outcome(&self) -> &'static str {
        match self {
            Refusal::Unauthorized => "unauthorized",
            Refusal::Empty => "empty",
            Refusal::Malformed(_) => "malformed",
            Refusal::UnsupportedType(_) => "unsupported_type",
            Refusal::TooLarge { .. } | Refusal::NotCut(_) => "too_large",
            Refusal::Slow => "slow",
            Refusal::Overloaded => "overloaded",
            Refusal::Unavailable(_) => "unavailable",
        }
    }

    /// The usual status.
    pub fn status(&self) -> StatusCode {
        match self {
            Refusal::Unauthorized => StatusCode::UNAUTHORIZED,
            Refusal::Empty | Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
            Refusal::UnsupportedType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::TooLarge { .. } | Refusal::NotCut(_) => StatusCode::PAYLOAD_TOO_LARGE,
            // Most senders drop what a 408 answers.
            Refusal::Slow | Refusal::Overloaded | Refusal::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// After how many seconds the same request may do.
    pub fn retry_after_s(&self) -> Option<u64> {
        matches!(self, Refusal::Slow | Refusal::Overloaded | Refusal::Unavailable(_)).then_some(RETRY_AFTER_S)
    }

    /// An answer with the usual status and headers, and this body.
    pub fn answer(&self, content_type: &'static str, body: impl Into<Body>) -> Response {
        self.answer_as(self.status(), content_type, body)
    }

    /// The same with a status of the system's own.
    pub fn answer_as(&self, status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
        let mut response = answer(status, content_type, body);
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if *self == Refusal::Unauthorized {
            headers
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"squelch\", Basic realm=\"squelch\""));
        }
        response
    }
}

/// An answer with a body.
pub fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// JSON's media type.
pub const JSON: &str = "application/json";
/// A text's media type.
pub const TEXT: &str = "text/plain; charset=utf-8";
