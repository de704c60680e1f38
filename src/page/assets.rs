//! The files that pages load, in the binary. Each has a name that changes with its content, so a browser may keep it for ever.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// A file that pages load.
#[derive(Debug)]
pub struct Asset {
    /// How the name begins.
    stem: &'static str,
    /// How it ends.
    extension: &'static str,
    /// The media type.
    pub content_type: &'static str,
    /// The content.
    pub body: &'static str,
    tag: LazyLock<String>,
}

/// How a page looks.
pub static STYLE: Asset = Asset {
    stem: "page",
    extension: "css",
    content_type: "text/css; charset=utf-8",
    body: include_str!("assets/page.css"),
    tag: LazyLock::new(|| tag(include_str!("assets/page.css"))),
};

/// News, keys and ages: what a page does beyond being read.
pub static SCRIPT: Asset = Asset {
    stem: "page",
    extension: "js",
    content_type: "text/javascript; charset=utf-8",
    body: include_str!("assets/page.js"),
    tag: LazyLock::new(|| tag(include_str!("assets/page.js"))),
};

/// The sign in the browser's tab.
pub static ICON: Asset = Asset {
    stem: "icon",
    extension: "svg",
    content_type: "image/svg+xml",
    body: include_str!("assets/icon.svg"),
    tag: LazyLock::new(|| tag(include_str!("assets/icon.svg"))),
};

fn tag(body: &str) -> String {
    Sha256::digest(body.as_bytes())[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Asset {
    /// Where it is.
    pub fn path(&self) -> String {
        format!("/assets/{}", self.name())
    }

    /// Its name.
    pub fn name(&self) -> String {
        format!("{}-{}.{}", self.stem, &*self.tag, self.extension)
    }

    /// What stands for its content.
    pub fn tag(&self) -> &str {
        &self.tag
    }
}

/// The file of this name.
pub fn named(name: &str) -> Option<&'static Asset> {
    [&STYLE, &SCRIPT, &ICON].into_iter().find(|asset| asset.name() == name)
}
