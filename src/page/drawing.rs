//! One drawing of what broke: columns from the causes on the left to those that suffer on the right, in the order in which they began.
//! The same revision gives the same drawing, and what joins later moves nobody to another row. Too many entities of a column are folded
//! into one box.
//!
//! Layers are those of Sugiyama's method. Its reordering against crossings is left out on purpose: the order in time says more, and a
//! drawing that is the same in each revision can be compared.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use crate::page::pages::{Pages, Reader};

/// Boxes of one drawing: whoever looks at more sees nothing.
const BOXES_MAX: usize = 40;
/// Boxes that a column always has room for.
const BOXES_OF_COLUMN_MIN: usize = 3;
/// Letters of a name.
const NAME_CHARS_MAX: usize = 22;
const BOX_WIDTH: usize = 180;
const BOX_HEIGHT: usize = 44;
const COLUMN_GAP: usize = 70;
const ROW_GAP: usize = 14;
const MARGIN: usize = 10;

/// An entity, or what two of them depend on.
#[derive(Debug, Default)]
struct Node<'a> {
    /// When its first alert began.
    began: Option<&'a str>,
    /// Its loudest severity: 3 is critical.
    severity: u8,
    firing: bool,
}

/// A drawing's input: who suffers, and what depends on what.
#[derive(Debug, Default)]
struct Graph<'a> {
    nodes: BTreeMap<&'a str, Node<'a>>,
    /// From a dependency to what depends on it: the way that a failure takes.
    edges: BTreeSet<(&'a str, &'a str)>,
    /// Linked, and neither depends on the other.
    ties: BTreeSet<(&'a str, &'a str)>,
}

/// Draws a revision as SVG; empty where there is nothing to draw.
pub fn drawing(pages: &Pages, reader: &Reader, body: &Json) -> String {
    let graph = Graph::of(body);
    if graph.nodes.is_empty() {
        return String::new();
    }
    let cause = body["root_cause"]["entity"].as_str();
    let mut columns: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for (name, column) in graph.columns() {
        columns.entry(column).or_default().push(name);
    }
    let room = (BOXES_MAX / columns.len().max(1)).max(BOXES_OF_COLUMN_MIN);
    let order = graph.order();
    let (mut boxes, mut place_of, mut rows) = (Vec::new(), BTreeMap::new(), 0);
    for (column, mut names) in columns {
        // Who began first stands above; who never alerted stands below.
        names.sort_by_key(|name| (graph.nodes[name].began.unwrap_or("9999"), *name));
        let kept = if names.len() > room { kept(&graph, &names, cause, room - 1) } else { names.iter().copied().collect() };
        let x = MARGIN + column * (BOX_WIDTH + COLUMN_GAP);
        let place = |row: usize| (x, MARGIN + row * (BOX_HEIGHT + ROW_GAP));
        let (shown, folded): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| kept.contains(*name));
        for (row, name) in shown.iter().enumerate() {
            let node = &graph.nodes[name];
            let (x, y) = place(row);
            place_of.insert(*name, (x, y));
            boxes.push(json!({"x": x, "y": y, "name": name, "short": short(name), "began": node.began, "severity": severity(node.severity),
                "firing": node.firing, "is_cause": cause == Some(*name), "number": order.get(name)}));
        }
        if !folded.is_empty() {
            let (x, y) = place(shown.len());
            place_of.extend(folded.iter().map(|name| (*name, (x, y))));
            boxes.push(json!({"x": x, "y": y, "folded": folded.len(), "name": folded.join(", ")}));
        }
        rows = rows.max(shown.len() + usize::from(!folded.is_empty()));
    }
    let right = boxes.iter().filter_map(|one| one["x"].as_u64()).max().unwrap_or(0) as usize;
    let lines = |edges: &BTreeSet<(&str, &str)>| {
        let ends = edges.iter().map(|(from, to)| (place_of[from], place_of[to]));
        let distinct: BTreeSet<_> = ends.filter(|(from, to)| from != to).collect();
        distinct.into_iter().map(|(from, to)| json!(path(from, to))).collect::<Vec<_>>()
    };
    let values = json!({
        "width": right + BOX_WIDTH + MARGIN, "height": 2 * MARGIN + rows * (BOX_HEIGHT + ROW_GAP), "boxes": boxes, "cause": cause,
        "edges": lines(&graph.edges), "ties": lines(&graph.ties), "box_width": BOX_WIDTH, "box_height": BOX_HEIGHT,
        "entities": graph.nodes.len(),
    });
    pages.part("drawing.svg", reader, values)
}

impl<'a> Graph<'a> {
    fn of(body: &'a Json) -> Self {
        let mut graph = Self::default();
        for entity in list(&body["entities"]).iter().filter_map(Json::as_str) {
            graph.nodes.entry(entity).or_default();
        }
        for alert in list(&body["alerts"]) {
            let Some(entity) = alert["entity"].as_str() else { continue };
            let node = graph.nodes.entry(entity).or_default();
            let began = alert["started_at"].as_str();
            node.began = [node.began, began].into_iter().flatten().min();
            node.severity = node.severity.max(rank(&alert["severity"]));
            node.firing |= alert["status"] == "firing";
        }
        for link in list(&body["links"]) {
            let (Some(from), Some(to), Some(reason)) = (link["from"].as_str(), link["to"].as_str(), link["reason"].as_str())
            else {
                continue;
            };
            if from != to && graph.nodes.contains_key(from) && graph.nodes.contains_key(to) {
                graph.add(from, to, reason);
            }
        }
        // Siblings whose common dependency is drawn need no line of their own.
        graph.ties.retain(|(a, b)| !graph.edges.contains(&(*a, *b)) && !graph.edges.contains(&(*b, *a)));
        graph
    }

    /// Adds a link. The message has no field for who depends on whom: the reason begins with it.
    fn add(&mut self, from: &'a str, to: &'a str, reason: &'a str) {
        let depends = |one: &str, other: &str| {
            let rest = reason.strip_prefix(one).and_then(|rest| rest.strip_prefix(" depends on ")?.strip_prefix(other));
            rest.is_some_and(|rest| rest.starts_with(" ("))
        };
        if depends(from, to) {
            self.edges.insert((to, from));
        } else if depends(to, from) {
            self.edges.insert((from, to));
        } else if let Some((_, rest)) = reason.split_once(" both depend on ")
            && let Some((common, _)) = rest.split_once(", and ")
            && common != from
            && common != to
        {
            self.nodes.entry(common).or_default();
            self.edges.extend([(common, from), (common, to)]);
        } else {
            self.ties.insert(if from < to { (from, to) } else { (to, from) });
        }
    }

    /// The column of each node: one more than that of the last of its dependencies. Edges that close a circle do not count.
    fn columns(&self) -> BTreeMap<&'a str, usize> {
        let mut dependencies: BTreeMap<&str, Vec<&'a str>> = BTreeMap::new();
        for (dependency, dependent) in &self.edges {
            dependencies.entry(dependent).or_default().push(dependency);
        }
        let none = Vec::new();
        let mut columns: BTreeMap<&'a str, usize> = BTreeMap::new();
        let mut open: BTreeSet<&str> = BTreeSet::new();
        for start in self.nodes.keys() {
            // A way down may be as long as there are nodes: no recursion.
            let mut way: Vec<(&'a str, usize)> = vec![(start, 0)];
            while let Some((name, at)) = way.last().copied() {
                let below = dependencies.get(name).unwrap_or(&none);
                open.insert(name);
                if let Some(next) = below.get(at) {
                    if let Some(top) = way.last_mut() {
                        top.1 += 1;
                    }
                    if !columns.contains_key(next) && !open.contains(next) {
                        way.push((next, 0));
                    }
                    continue;
                }
                let column = below.iter().filter_map(|below| columns.get(below)).max().map_or(0, |column| column + 1);
                columns.entry(name).or_insert(column);
                open.remove(name);
                way.pop();
            }
        }
        columns
    }

    /// Who began as the first, the second, and so on.
    fn order(&self) -> BTreeMap<&'a str, usize> {
        let mut began: Vec<(&str, &'a str)> = self.nodes.iter().filter_map(|(name, node)| Some((node.began?, *name))).collect();
        began.sort_unstable();
        began.into_iter().enumerate().map(|(at, (_, name))| (name, at + 1)).collect()
    }
}

/// Which names of a column stay: the cause, then what fires, then the most severe, then the earliest.
fn kept<'a>(graph: &Graph<'a>, names: &[&'a str], cause: Option<&str>, room: usize) -> BTreeSet<&'a str> {
    let mut ranked: Vec<&str> = names.to_vec();
    ranked.sort_by_key(|name| {
        let node = &graph.nodes[name];
        (cause != Some(*name), !node.firing, std::cmp::Reverse(node.severity), node.began.unwrap_or("9999"), *name)
    });
    ranked.into_iter().take(room).collect()
}

/// A line from one box to another. Within a column it goes around on the right.
fn path((from_x, from_y): (usize, usize), (to_x, to_y): (usize, usize)) -> String {
    let (middle_from, middle_to) = (from_y + BOX_HEIGHT / 2, to_y + BOX_HEIGHT / 2);
    if from_x == to_x {
        let (right, bend) = (from_x + BOX_WIDTH, from_x + BOX_WIDTH + COLUMN_GAP / 2);
        return format!("M{right} {middle_from} C{bend} {middle_from} {bend} {middle_to} {right} {middle_to}");
    }
    let (start, end) = if from_x < to_x { (from_x + BOX_WIDTH, to_x) } else { (from_x, to_x + BOX_WIDTH) };
    let bend = (start + end) / 2;
    format!("M{start} {middle_from} C{bend} {middle_from} {bend} {middle_to} {end} {middle_to}")
}

fn short(name: &str) -> String {
    if name.chars().count() <= NAME_CHARS_MAX {
        return name.to_string();
    }
    name.chars().take(NAME_CHARS_MAX - 1).chain(['…']).collect()
}

fn rank(severity: &Json) -> u8 {
    match severity.as_str() {
        Some("critical") => 3,
        Some("warning") => 2,
        Some("info") => 1,
        _ => 0,
    }
}

fn severity(rank: u8) -> &'static str {
    ["none", "info", "warning", "critical"][usize::from(rank.min(3))]
}

fn list(value: &Json) -> &[Json] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::local_time::Zone;

    fn body(entities: &[String], links: &[(usize, usize)]) -> Json {
        let alert = |(at, entity): (usize, &String)| json!({"entity": entity, "severity": "critical", "status": "firing", "started_at": format!("2026-03-14T02:{:02}:{:02}Z", at / 60, at % 60)});
        let link = |(dependent, dependency): &(usize, usize)| {
            let (from, to) = (&entities[*dependent], &entities[*dependency]);
            json!({"from": from, "to": to, "reason": format!("{from} depends on {to} (directly) and failed 30s after it")})
        };
        json!({"entities": entities, "alerts": entities.iter().enumerate().map(alert).collect::<Vec<_>>(),
            "links": links.iter().map(link).collect::<Vec<_>>(), "root_cause": {"entity": entities[0]}})
    }

    fn names(number: usize) -> Vec<String> {
        (0..number).map(|at| format!("service-{at:03}")).collect()
    }

    fn drawn(body: &Json) -> String {
        drawing(&Pages::new(Zone::default()), &Reader::default(), body)
    }

    fn columns(body: &Json) -> Vec<usize> {
        Graph::of(body).columns().into_values().collect()
    }

    #[test]
    fn causes_stand_left_of_what_depends_on_them() {
        let all = names(4);
        assert_eq!(columns(&body(&all, &[(1, 0), (2, 1), (3, 0)])), [0, 1, 2, 1]);
        let svg = drawn(&body(&all, &[(1, 0), (2, 1), (3, 0)]));
        assert!(svg.starts_with("<svg") && svg.matches("<path").count() >= 3, "{svg}");
        assert_eq!(svg.matches("is-cause").count(), 1, "{svg}");
    }

    #[test]
    fn circles_and_unconnected_parts_are_drawn() {
        let all = names(5);
        let circle = columns(&body(&all, &[(1, 0), (2, 1), (0, 2)]));
        assert_eq!(circle.len(), 5);
        assert!(circle[..3].iter().collect::<BTreeSet<_>>().len() == 3, "{circle:?}");
        assert_eq!(circle[3..], [0, 0]);
        assert!(drawn(&json!({})).is_empty());
        let line: Vec<(usize, usize)> = (1..200).map(|at| (at, at - 1)).collect();
        assert_eq!(columns(&body(&names(200), &line)).last(), Some(&199), "a long way needs no stack");
    }

    #[test]
    fn what_both_depend_on_is_drawn_though_nobody_watches_it() {
        let mut two = body(&names(2), &[]);
        let reason = "service-000 and service-001 both depend on db, and all that depends on it directly alerts";
        two["links"] = json!([{"from": "service-000", "to": "service-001", "reason": reason}]);
        let svg = drawn(&two);
        assert!(svg.contains(">db<") && svg.matches("class=\"edge\"").count() == 2, "{svg}");
    }

    #[test]
    fn many_are_folded_and_later_ones_move_nobody() {
        let all = names(300);
        let star: Vec<(usize, usize)> = (1..300).map(|at| (at, 0)).collect();
        let svg = drawn(&body(&all, &star));
        assert!(svg.matches("<rect").count() <= BOXES_MAX + 1, "{} boxes", svg.matches("<rect").count());
        assert!(svg.contains(">service-000<") && svg.contains("280 more"), "{svg}");
        assert_eq!(svg, drawn(&body(&all, &star)));
        let place = |svg: &str, name: &str| {
            svg.split(&format!(">{name}<"))
                .next()
                .unwrap()
                .rsplit("translate(")
                .next()
                .unwrap()
                .split(')')
                .next()
                .unwrap()
                .to_string()
        };
        let (few, more) = (drawn(&body(&names(5), &star[..4])), drawn(&body(&names(8), &star[..7])));
        for name in names(5) {
            assert_eq!(place(&few, &name), place(&more, &name), "{name}");
        }
    }

    #[test]
    fn names_are_escaped() {
        let svg = drawn(&body(&["<script>\"&".to_string(), "x".repeat(500)], &[(1, 0)]));
        assert!(!svg.contains("<script>") && svg.contains("&lt;script&gt;"), "{svg}");
        assert!(svg.contains(&format!(">{}…<", "x".repeat(21))), "{svg}");
    }
}
