//! News as they come, for pages that listen: server-sent events, each about one incident.
//!
//! `incident` has its line as HTML, `ended` its id. A page about one incident gets `revision`, with the number of a newer one. `missed`:
//! the page was too slow, and has to load again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use futures::stream::unfold;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;

use crate::io::web::answer::{Answer, error, loaded};
use crate::io::web::feed::{News, Progress};
use crate::io::web::request::{Fields, field};
use crate::io::web::site::Site;
use crate::model::limits::PAGE_LISTENERS_MAX;
use crate::page::language::Language;
use crate::page::listing::{self, Wanted};
use crate::page::pages::Reader;

/// How often a line is sent where there is no news: proxies close what is silent.
const ALIVE_EVERY: Duration = Duration::from_secs(20);

/// What a page listens for.
enum Listens {
    /// The open incidents of a list.
    List(Wanted),
    /// Revisions of one incident after this one.
    Incident(String, u32),
}

/// A page that listens.
struct Listener {
    site: Arc<Site>,
    reader: Reader,
    listens: Listens,
    news: broadcast::Receiver<Arc<News>>,
    progress: watch::Receiver<Progress>,
    /// What is to be sent first.
    first: Option<Event>,
}

pub(crate) async fn events(
    State(site): State<Arc<Site>>,
    Extension(reader): Extension<Reader>,
    Query(fields): Query<Fields>,
) -> Answer {
    let bad = |why: String| error(&site, &reader, StatusCode::BAD_REQUEST, "This cannot be read.", &why, None);
    let listens = match field(&fields, "incident") {
        Some(id) => {
            let revision = field(&fields, "revision").unwrap_or("0").parse().map_err(|_| bad("revision is no number".into()))?;
            Listens::Incident(id.to_string(), revision)
        }
        None => Listens::List(Wanted::of(&fields).map_err(bad)?),
    };
    loaded(&site, &reader).await?;
    if site.feed.listeners() >= PAGE_LISTENERS_MAX {
        return Ok((StatusCode::SERVICE_UNAVAILABLE, "too many pages listen\n").into_response());
    }
    let (news, progress) = (site.feed.news(), site.feed.progress());
    let mut listener = Listener { site, reader, listens, news, progress, first: None };
    listener.first = listener.missed_since_load();
    let alive = KeepAlive::new().interval(ALIVE_EVERY);
    Ok(Sse::new(stream(listener)).keep_alive(alive).into_response())
}

fn stream(listener: Listener) -> impl Stream<Item = Result<Event, Infallible>> {
    unfold(listener, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok(event), listener))
    })
}

impl Listener {
    /// What has changed between the page and its listening.
    fn missed_since_load(&self) -> Option<Event> {
        let Listens::Incident(id, seen) = &self.listens else { return None };
        let newest = self.site.feed.read(|live| live.open.get(id).map(|view| view.revision))?;
        (newest > *seen).then(|| Event::default().event("revision").data(newest.to_string()))
    }

    /// The next event; nothing where there will be none.
    async fn next(&mut self) -> Option<Event> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            let news = tokio::select! {
                news = self.news.recv() => news,
                _ = self.progress.wait_for(|progress| progress.is_closing) => return None,
            };
            match news {
                Ok(news) => {
                    if let Some(event) = self.event(&news) {
                        return Some(event);
                    }
                }
                Err(RecvError::Lagged(_)) => return Some(Event::default().event("missed").data("")),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// What this page is to know of it.
    fn event(&self, news: &News) -> Option<Event> {
        match (&self.listens, &news.view) {
            (Listens::Incident(id, seen), Some(view)) if *id == news.id && view.revision > *seen => {
                Some(Event::default().event("revision").data(view.revision.to_string()))
            }
            (Listens::Incident(id, _), None) if *id == news.id => Some(Event::default().event("revision").data("")),
            (Listens::Incident(..), _) => None,
            (Listens::List(wanted), Some(view)) if wanted.includes(view) => {
                let at = Language::ALL.iter().position(|language| *language == self.reader.language).unwrap_or_default();
                let line = news.lines[at]
                    .get_or_init(|| self.site.feed.read(|live| listing::row(&self.site.pages, &self.reader, view, &live.past)));
                Some(Event::default().event("incident").data(line.trim()))
            }
            // It is like this no longer, or has ended.
            (Listens::List(_), _) => Some(Event::default().event("ended").data(&news.id)),
        }
    }
}
