//! What clients ask first: versions, and a configuration that Alertmanager's own parser takes.

use std::sync::Arc;

use axum::extract::State;
use serde_json::json;

use crate::io::alertmanager::backend::Backend;
use crate::io::alertmanager::reply::{RECEIVER, Reply, ok};

/// The version of the API that is spoken: clients warn where it is another than theirs.
const VERSION: &str = "0.34.0";

pub(crate) async fn status(State(backend): State<Arc<dyn Backend>>) -> Reply {
    ok(&json!({
        "cluster": {"status": "disabled", "peers": []},
        "versionInfo": {
            "version": VERSION,
            "revision": format!("squelch-{}", env!("CARGO_PKG_VERSION")),
            "branch": "",
            "buildUser": "",
            "buildDate": "",
            "goVersion": "",
        },
        "config": {"original": backend.configuration(RECEIVER)},
        "uptime": backend.started_at(),
    }))
}

pub(crate) async fn receivers() -> Reply {
    ok(&json!([{"name": RECEIVER, "labels": {}}]))
}
