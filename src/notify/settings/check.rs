//! What is wrong with `notifiers` and `routes` although it can be read: names, addresses, routes that reach nobody.

use std::collections::BTreeMap;

use serde_saphyr::Spanned;

use crate::model::diagnostic::nearest;
use crate::model::limits::{RECEIVER_TIMEOUT_MS_MAX, RECEIVER_TIMEOUT_MS_MIN, RECEIVERS_MAX, ROUTES_MAX};
use crate::model::severity::Severity;
use crate::notify::rate_limit::RateSetting;
use crate::notify::settings::complaint::PlacedComplaint;
use crate::notify::settings::names::Names;
use crate::notify::settings::receiver_config::{KINDS, ReceiverConfig};
use crate::notify::settings::route_config::RouteConfig;

/// `notifiers:`, by name.
pub type Notifiers = BTreeMap<String, Spanned<ReceiverConfig>>;
/// `routes:`, in order.
pub type Routes = Vec<Spanned<RouteConfig>>;

/// Everything that is wrong.
pub fn complaints(notifiers: &Notifiers, routes: &Routes) -> Vec<PlacedComplaint> {
    let mut all = Vec::new();
    for (name, receiver) in notifiers {
        complain_of_receiver(name, receiver, &mut all);
    }
    if let Some(many) = notifiers.values().nth(RECEIVERS_MAX) {
        let message = format!("more than {RECEIVERS_MAX} notifiers");
        all.push(PlacedComplaint::about(many, message, "one receiver serves for several routes"));
    }
    if let Some(many) = routes.get(ROUTES_MAX) {
        all.push(PlacedComplaint::about(many, format!("more than {ROUTES_MAX} routes"), "a route may match a list of values"));
    }
    let mut catches_all = None;
    for route in routes {
        complain_of_route(route, notifiers, &mut all);
        if let Some(line) = catches_all {
            let message = "this route is never reached".to_string();
            let hint = format!("the route in line {line} matches every incident: move it to the end, or add continue: true");
            all.push(PlacedComplaint::about(route, message, hint));
            break;
        }
        let RouteConfig { matches, goes_on, .. } = &route.value;
        if *matches == Default::default() && !goes_on {
            catches_all = Some(route.referenced.line());
        }
    }
    all
}

fn complain_of_receiver(name: &str, receiver: &Spanned<ReceiverConfig>, all: &mut Vec<PlacedComplaint>) {
    let mut complain = |message: String, hint: &str| all.push(PlacedComplaint::about(receiver, message, hint));
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
        complain(format!("{name:?} is no name for a receiver"), "use letters, digits, - and _");
    }
    match receiver.value.kinds().as_slice() {
        [_] => {}
        [] => complain(format!("receiver `{name}` has no kind"), &format!("name one of {KINDS}")),
        several => complain(
            format!("receiver `{name}` is of several kinds: {}", several.join(", ")),
            "make a receiver of its own for each, and name them all in `to` of a route",
        ),
    }
    let ReceiverConfig { timeout, limit, quiet, .. } = &receiver.value;
    if let Some(timeout) =
        timeout.as_ref().filter(|it| !(RECEIVER_TIMEOUT_MS_MIN..=RECEIVER_TIMEOUT_MS_MAX).contains(&it.value.0))
    {
        all.push(PlacedComplaint::about(timeout, "`timeout` must be between 100ms and 2m", "15s is usual"));
    }
    if let Some(limit) = limit
        && let Err(error) = limit.value.parse::<RateSetting>()
    {
        all.push(PlacedComplaint::about(limit, error.to_string(), "write for example 30/10m: thirty messages in ten minutes"));
    }
    if let Some(quiet) = quiet {
        if quiet.from == quiet.to {
            let hint = "they last from `from` to `to`; to silence a receiver for good, leave it out of the routes";
            all.push(PlacedComplaint::about(receiver, format!("the quiet hours of `{name}` have no end"), hint));
        }
        if let Some(severity) = &quiet.severity {
            complain_of_severity(severity, all);
        }
    }
    receiver.value.complain(receiver.referenced, all);
}

fn complain_of_route(route: &Spanned<RouteConfig>, notifiers: &Notifiers, all: &mut Vec<PlacedComplaint>) {
    let RouteConfig { matches, to, escalate, .. } = &route.value;
    if let Some(severity) = &matches.severity {
        complain_of_severity(severity, all);
    }
    if to.is_empty() && escalate.is_empty() {
        all.push(PlacedComplaint::about(route, "this route notifies nobody", "name receivers: to: [chat]"));
    }
    let steps = escalate.iter().flat_map(|step| &step.value.to);
    for receiver in to.iter().chain(steps).filter(|receiver| !notifiers.contains_key(&receiver.value)) {
        let known = notifiers.keys().map(String::as_str);
        let hint = match nearest(&receiver.value, known.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if notifiers.is_empty() => "name it under `notifiers`".into(),
            None => format!("`notifiers` has {}", known.collect::<Vec<_>>().join(", ")),
        };
        all.push(PlacedComplaint::about(receiver, format!("there is no receiver `{}`", receiver.value), hint));
    }
    for step in escalate {
        if step.value.after.0 <= 0 {
            all.push(PlacedComplaint::about(
                step,
                "`after` must be more than 0",
                "10m is usual; who is notified at once stands in `to`",
            ));
        }
        if step.value.to.is_empty() {
            all.push(PlacedComplaint::about(step, "this step notifies nobody", "name receivers: to: [chat]"));
        }
    }
}

fn complain_of_severity(names: &Spanned<Names>, all: &mut Vec<PlacedComplaint>) {
    let known = Severity::ALL.map(Severity::as_str);
    for name in names.value.0.iter().filter(|name| !known.contains(&name.as_str())) {
        all.push(PlacedComplaint::about(names, format!("{name:?} is no severity"), "write info, warning or critical"));
    }
}
