//! The pages over HTTP: which address shows what, who may see and do what, and news as they come. What a page shows is made in [`page`];
//! where incidents come from and commands go is the [`backend`]'s.
//!
//! [`page`]: crate::page

pub mod access;
mod actions;
mod answer;
pub mod backend;
mod cookie;
mod events;
pub mod feed;
mod guard;
mod incidents;
mod request;
mod silences;
pub mod site;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};

use crate::io::web::site::Site;
use crate::model::limits::PAGE_FORM_BYTES_MAX;
use crate::page::assets;

/// The pages. Their addresses may lie beside those of other routers.
pub fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/incidents", get(incidents::open))
        .route("/incidents/{id}", get(incidents::one))
        .route("/incidents/{id}/{action}", post(actions::of_incident))
        .route("/past", get(incidents::past))
        .route("/silences", get(silences::list).post(actions::silence))
        .route("/silences/new", get(silences::form))
        .route("/silences/{id}/expire", post(actions::expire))
        .route("/language", post(actions::language))
        .route("/events", get(events::events))
        .layer(DefaultBodyLimit::max(PAGE_FORM_BYTES_MAX))
        .layer(middleware::from_fn_with_state(Arc::clone(&site), guard::guard))
        .route("/assets/{name}", get(asset))
        .layer(middleware::map_response(answer::with_safe_headers))
        .with_state(site)
}

/// Leads browsers that ask for the root to the open incidents. Whoever else asks for it gets what `others` answer: clients of
/// Elasticsearch do.
pub fn with_front_door(others: Router) -> Router {
    others.layer(middleware::from_fn(async |request: Request, next: Next| {
        let wants_page = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        let wants_page = wants_page.is_some_and(|accept| accept.contains("text/html"));
        if request.uri().path() == "/" && request.method() == Method::GET && wants_page {
            return Redirect::to("/incidents").into_response();
        }
        next.run(request).await
    }))
}

/// A file that pages load. Its name changes with its content.
async fn asset(State(_): State<Arc<Site>>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = assets::named(&name) else { return StatusCode::NOT_FOUND.into_response() };
    let tag = format!("\"{}\"", asset.tag());
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let head = [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, "public, max-age=31536000, immutable".into())];
    if known.is_some_and(|known| known.split(',').any(|one| one.trim() == tag)) {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    (head, [(header::CONTENT_TYPE, asset.content_type)], asset.body).into_response()
}
