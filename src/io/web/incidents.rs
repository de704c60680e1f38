//! The open incidents, and one incident at one of its revisions.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;

use crate::io::web::answer::{Answer, done_text, error, html, loaded, unavailable};
use crate::io::web::request::{Fields, address, field, is_id};
use crate::io::web::site::Site;
use crate::notify::incident_view::IncidentView;
use crate::page::incident::IncidentPage;
use crate::page::listing::{self, Wanted};
use crate::page::pages::Reader;
use crate::page::past::Step;
use crate::page::text::tidy_view;

/// Similar incidents that a page names.
const SIMILAR_MAX: usize = 5;

pub(crate) async fn open(
    State(site): State<Arc<Site>>,
    Extension(reader): Extension<Reader>,
    Query(fields): Query<Fields>,
) -> Answer {
    let bad = |why: String| error(&site, &reader, StatusCode::BAD_REQUEST, "This cannot be read.", &why, None);
    let wanted = Wanted::of(&fields).map_err(bad)?;
    loaded(&site, &reader).await?;
    let trouble = site.feed.trouble();
    let page = site.feed.read(|live| {
        let open = live.open.values().cloned().collect();
        listing::open_incidents(&site.pages, &reader, &wanted, open, &live.past, trouble.as_deref())
    });
    let missing = || error(&site, &reader, StatusCode::NOT_FOUND, "There is no such page.", "", None);
    page.map(|page| html(StatusCode::OK, page)).ok_or_else(missing)
}

pub(crate) async fn past(State(site): State<Arc<Site>>, Extension(reader): Extension<Reader>) -> Answer {
    loaded(&site, &reader).await?;
    site.feed.has_loaded(|progress| progress.past).await;
    let trouble = site.feed.trouble();
    let page = site.feed.read(|live| listing::past_incidents(&site.pages, &reader, &live.past, trouble.as_deref()));
    Ok(html(StatusCode::OK, page))
}

pub(crate) async fn one(
    State(site): State<Arc<Site>>,
    Extension(reader): Extension<Reader>,
    Path(id): Path<String>,
    Query(fields): Query<Fields>,
) -> Answer {
    let no_revision = || error(&site, &reader, StatusCode::NOT_FOUND, "There is no such revision.", "", Some(&address(&id)));
    let wanted = match field(&fields, "revision") {
        None => None,
        Some(text) if text.bytes().all(|digit| digit.is_ascii_digit()) => Some(text.parse::<u32>().map_err(|_| no_revision())?),
        Some(text) => {
            let why = format!("{text:?} is no number of a revision");
            return Err(error(&site, &reader, StatusCode::BAD_REQUEST, "This cannot be read.", &why, Some(&address(&id))));
        }
    };
    let no_incident = || error(&site, &reader, StatusCode::NOT_FOUND, "There is no such incident.", "", None);
    if !is_id(&id) {
        return Err(no_incident());
    }
    loaded(&site, &reader).await?;
    let Known { newest, steps, bodies } = known(&site, &reader, &id).await?.ok_or_else(no_incident)?;
    let number = wanted.unwrap_or(steps.last().map_or(0, |step| step.revision));
    let step = steps.iter().find(|step| step.revision == number).ok_or_else(no_revision)?;
    let view = match newest.filter(|newest| newest.revision == number) {
        Some(newest) => newest,
        None => {
            let body = match bodies.into_iter().find(|view| view.revision == number) {
                Some(view) => Some(view),
                None if step.sequence == 0 => None,
                None => read(&site, &reader, step.sequence).await?,
            };
            Arc::new(body.ok_or_else(no_revision)?)
        }
    };
    let similar = site.feed.read(|live| live.past.similar(&view, SIMILAR_MAX));
    let trouble = site.feed.trouble();
    let page = IncidentPage {
        view: &view,
        steps: &steps,
        similar: &similar,
        is_newest: steps.last().is_some_and(|last| last.revision == number),
        done: field(&fields, "done").and_then(done_text),
        trouble: trouble.as_deref(),
    };
    Ok(html(StatusCode::OK, page.render(&site.pages, &reader)))
}

/// What is known of an incident.
struct Known {
    /// Its newest revision, where it is in memory.
    newest: Option<Arc<IncidentView>>,
    /// All that is known of its revisions, in order.
    steps: Vec<Step>,
    /// Revisions that were read to find that out.
    bodies: Vec<IncidentView>,
}

/// What is known of an incident: from memory, or from the whole stream where it is older than what is in memory.
async fn known(site: &Site, reader: &Reader, id: &str) -> Result<Option<Known>, Response> {
    let find = || {
        site.feed.read(|live| {
            let steps = live.past.get(id).map(|past| past.steps.clone()).unwrap_or_default();
            (live.open.get(id).cloned(), steps)
        })
    };
    let (mut newest, mut steps) = find();
    if steps.is_empty() {
        site.feed.has_loaded(|progress| progress.past).await;
        (newest, steps) = find();
    }
    let mut bodies = Vec::new();
    let is_whole = site.feed.progress().borrow().past_is_whole;
    let begins_late = steps.first().is_some_and(|first| first.revision > 1);
    if (steps.is_empty() && newest.is_none() || begins_late) && !is_whole {
        let found = site.backend.history(id.to_string()).await.map_err(|why| unavailable(site, reader, &why))?;
        bodies = found.iter().filter_map(|body| tidy_view(body)).collect();
        bodies.dedup_by_key(|view| view.revision);
        steps = bodies.iter().map(|view| Step::of(0, view)).collect();
    }
    // The copy of open incidents may be ahead of the index.
    if let Some(newest) = &newest
        && steps.last().is_none_or(|last| last.revision < newest.revision)
    {
        steps.push(Step::of(0, newest));
    }
    Ok((!steps.is_empty()).then_some(Known { newest, steps, bodies }))
}

/// A revision at its place in the stream.
async fn read(site: &Site, reader: &Reader, sequence: u64) -> Result<Option<IncidentView>, Response> {
    let body = site.backend.body(sequence).await.map_err(|why| unavailable(site, reader, &why))?;
    Ok(body.and_then(|body| tidy_view(&body)))
}
