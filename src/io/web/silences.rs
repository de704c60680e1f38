//! The list of silences, and the form that makes one.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde_json::Value;

use crate::io::decode::command as body_check;
use crate::io::web::answer::{Answer, done_text, html, loaded};
use crate::io::web::request::{Fields, field};
use crate::io::web::site::Site;
use crate::model::command::Action;
use crate::page::pages::Reader;
use crate::page::silences::{self, Preview, SilenceForm};

pub(crate) async fn list(
    State(site): State<Arc<Site>>,
    Extension(reader): Extension<Reader>,
    Query(fields): Query<Fields>,
) -> Answer {
    loaded(&site, &reader).await?;
    let done = field(&fields, "done").and_then(done_text);
    let trouble = site.feed.trouble();
    let page = site.feed.read(|live| {
        let open: Vec<_> = live.open.values().cloned().collect();
        let silences = live.silences.values().cloned().collect();
        silences::list_page(&site.pages, &reader, silences, &open, done, trouble.as_deref())
    });
    Ok(html(StatusCode::OK, page))
}

pub(crate) async fn form(
    State(site): State<Arc<Site>>,
    Extension(reader): Extension<Reader>,
    Query(fields): Query<Fields>,
) -> Answer {
    let form = SilenceForm::of(&fields);
    let preview = match form.names_something() {
        false => Preview::Nothing,
        true => {
            loaded(&site, &reader).await?;
            preview(&site, &form)
        }
    };
    Ok(html(StatusCode::OK, silences::form_page(&site.pages, &reader, &form, &preview, site.backend.knows_graph())))
}

/// What the silence of a form would hit now, in the words of the decoder that would read it where it cannot be.
fn preview(site: &Site, form: &SilenceForm) -> Preview {
    let mut fields = form.command();
    fields.insert("by".into(), "preview".into());
    // How long it lasts makes no difference to what it hits.
    if !fields.contains_key("incident") && !fields.contains_key("cron") {
        fields.entry("for").or_insert_with(|| "1h".into());
    }
    let body = Value::Object(fields).to_string();
    match body_check::check(body.as_bytes(), form.kind()).and_then(|command| command.action) {
        Ok(Action::Silence(request)) => {
            let open: Vec<_> = site.feed.read(|live| live.open.values().cloned().collect());
            let bodies: Vec<&Value> = open.iter().map(|view| &*view.body).collect();
            Preview::Hits(site.backend.preview(&request.target, &bodies))
        }
        Ok(_) => Preview::Nothing,
        Err(why) => Preview::Refused(why),
    }
}
