//! Elasticsearch and OpenSearch, as far as their senders need them: `_bulk`, and what clients ask before they send. All of it is at the root, and
//! below `/elasticsearch` for whoever wants a path of its own.

mod bulk;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, put};
use serde_json::json;

use crate::io::intake::endpoint::{Content, Endpoint, Examine, Intake, Received, System, Taken, post};
use crate::io::intake::refusal::{JSON, Refusal, TEXT, answer, empty};
use crate::model::event::Kind;

static ELASTICSEARCH: System = System { name: "elasticsearch", refused };

static BULK: Endpoint = Endpoint::new(&ELASTICSEARCH, Examine::Ask(taken));

/// What clients ask of a server before they send. New enough for all of them, and old enough for those of the version before.
const VERSION: &str = "8.19.0";
/// Clients refuse a server whose answers lack it.
const PRODUCT: HeaderName = HeaderName::from_static("x-elastic-product");

/// The paths.
pub fn routes() -> Router<Arc<Intake>> {
    let paths = || {
        Router::new()
            .route("/_bulk", bulk_endpoint())
            .route("/{index}/_bulk", bulk_endpoint())
            .route("/_license", get(license))
            .route("/_cat/health", get(cat_health))
            .route("/_cluster/health", get(cluster_health))
            .layer(map_response(with_product))
    };
    let info = || get(info).layer(map_response(with_product));
    let below = Router::new().merge(paths()).route("/", info());
    // A browser that asks for the root is no client of Elasticsearch.
    Router::new().merge(paths()).route("/", info()).route("/elasticsearch/", info()).nest("/elasticsearch", below)
}

fn bulk_endpoint() -> MethodRouter<Arc<Intake>> {
    let by_put = |State(intake): State<Arc<Intake>>, request: Request| async move { intake.take_in(&BULK, request).await };
    post(&BULK).merge(put(by_put))
}

async fn with_product(mut response: Response) -> Response {
    response.headers_mut().insert(PRODUCT, HeaderValue::from_static("Elasticsearch"));
    response
}

fn taken(received: &Received<'_>) -> Result<Taken, Refusal> {
    let index = received.head.uri.path().trim_start_matches("/elasticsearch").trim_matches('/').split('/').next();
    let index = index.filter(|index| *index != "_bulk").unwrap_or_default();
    let body = bulk::inflated(received)?;
    let items = bulk::answer(&body, index);
    let content = Content::of("elasticsearch_bulk", Kind::Log);
    Ok(Taken { content: Some(content), answer: answer(StatusCode::OK, JSON, items) })
}

async fn info(headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("text/html") {
        return empty(StatusCode::NOT_FOUND);
    }
    let body = json!({
        "name": "squelch",
        "cluster_name": "squelch",
        "cluster_uuid": "squelch",
        "version": {
            "number": VERSION,
            "build_flavor": "default",
            "build_type": "docker",
            "lucene_version": "9.12.2",
            "minimum_wire_compatibility_version": "7.17.0",
            "minimum_index_compatibility_version": "7.0.0",
        },
        "tagline": "You Know, for Search",
    });
    answer(StatusCode::OK, JSON, body.to_string())
}

async fn license() -> Response {
    let body = json!({ "license": { "status": "active", "uid": "squelch", "type": "basic", "issued_to": "squelch" } });
    answer(StatusCode::OK, JSON, body.to_string())
}

/// Whether what is sent can be stored: green or red.
fn color(intake: &Intake) -> &'static str {
    if intake.store.unreachable().is_none() { "green" } else { "red" }
}

async fn cat_health(State(intake): State<Arc<Intake>>) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, TEXT)], format!("squelch {} 1 1 0 0 0 0 0 - 100.0%\n", color(&intake)))
        .into_response()
}

async fn cluster_health(State(intake): State<Arc<Intake>>) -> Response {
    let body = json!({
        "cluster_name": "squelch",
        "status": color(&intake),
        "timed_out": false,
        "number_of_nodes": 1,
        "number_of_data_nodes": 1,
    });
    answer(StatusCode::OK, JSON, body.to_string())
}

fn refused(_: &Parts, refusal: &Refusal) -> Response {
    let kind = match refusal {
        Refusal::Unauthorized => "security_exception",
        Refusal::Empty | Refusal::Malformed(_) | Refusal::UnsupportedType(_) => "parse_exception",
        Refusal::TooLarge { .. } | Refusal::NotCut(_) => "content_too_long_exception",
        Refusal::Slow | Refusal::Overloaded | Refusal::Unavailable(_) => "es_rejected_execution_exception",
    };
    let cause = json!({ "type": kind, "reason": refusal.to_string() });
    let body = json!({ "error": { "root_cause": [cause], "type": kind, "reason": refusal.to_string() }, "status": refusal.status().as_u16() });
    refusal.answer(JSON, body.to_string())
}
