//! A copy of what was published, in memory: the open incidents, the silences and an index of what is past. Whoever follows the streams
//! writes it; every page is made from it. Each change is news for the pages that listen.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{broadcast, watch};
use tokio::time::timeout;

use crate::model::limits::{PAGE_NEWS_MAX, PAST_REVISIONS_MAX};
use crate::notify::incident_view::IncidentView;
use crate::page::language::Language;
use crate::page::past::Past;

/// How long a request waits for the copy to be complete.
const LOADED_WITHIN: Duration = Duration::from_secs(5);

/// The copy.
#[derive(Debug)]
pub struct Feed {
    live: RwLock<Live>,
    news: broadcast::Sender<Arc<News>>,
    progress: watch::Sender<Progress>,
    trouble: Mutex<BTreeMap<&'static str, String>>,
}

/// What the copy holds.
#[derive(Debug)]
pub struct Live {
    /// The newest revision of each open incident.
    pub open: BTreeMap<String, Arc<IncidentView>>,
    /// Each silence as it is now.
    pub silences: BTreeMap<String, Arc<Value>>,
    /// The index of what is past.
    pub past: Past,
}

/// How much of the copy is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The open incidents.
    pub open: bool,
    /// The silences.
    pub silences: bool,
    /// The index of what is past.
    pub past: bool,
    /// The index has every revision that the stream holds.
    pub past_is_whole: bool,
    /// Pages are to stop listening.
    pub is_closing: bool,
}

/// Something new about one incident.
#[derive(Debug)]
pub struct News {
    /// The incident.
    pub id: String,
    /// Its newest revision; nothing where it has ended.
    pub view: Option<Arc<IncidentView>>,
    /// Its line, as HTML: made once in each language, whatever number of pages listens.
    pub lines: [OnceLock<String>; Language::ALL.len()],
}

impl Default for Feed {
    fn default() -> Self {
        let live = Live { open: BTreeMap::new(), silences: BTreeMap::new(), past: Past::new(PAST_REVISIONS_MAX) };
        Self {
            live: RwLock::new(live),
            news: broadcast::Sender::new(PAGE_NEWS_MAX),
            progress: watch::Sender::new(Progress::default()),
            trouble: Mutex::default(),
        }
    }
}

impl Feed {
    /// Looks at the copy, and at nothing else meanwhile.
    pub fn read<T>(&self, look: impl FnOnce(&Live) -> T) -> T {
        look(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Live) -> T) -> T {
        change(&mut self.live.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// The news from here on.
    pub fn news(&self) -> broadcast::Receiver<Arc<News>> {
        self.news.subscribe()
    }

    /// How many pages listen.
    pub fn listeners(&self) -> usize {
        self.news.receiver_count()
    }

    /// How much is there.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Waits until so much is there, but not for ever. Whether it is.
    pub async fn has_loaded(&self, enough: impl Fn(&Progress) -> bool) -> bool {
        let mut progress = self.progress.subscribe();
        matches!(timeout(LOADED_WITHIN, progress.wait_for(|progress| enough(progress))).await, Ok(Ok(_)))
    }

    /// More is there than before.
    pub fn report_progress(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(change);
    }

    /// All open incidents, in place of those that were known.
    pub fn replace_open(&self, all: BTreeMap<String, Arc<IncidentView>>) {
        let (ended, changed): (Vec<String>, Vec<Arc<IncidentView>>) = self.write(|live| {
            let ended = live.open.keys().filter(|id| !all.contains_key(*id)).cloned().collect();
            let is_known =
                |view: &&Arc<IncidentView>| live.open.get(&view.id).is_some_and(|known| known.revision == view.revision);
            let changed = all.values().filter(|view| !is_known(view)).cloned().collect();
            live.open = all;
            (ended, changed)
        });
        ended.into_iter().for_each(|id| self.announce(id, None));
        changed.into_iter().for_each(|view| self.announce(view.id.clone(), Some(view)));
    }

    /// A new revision of an open incident.
    pub fn put_open(&self, view: Arc<IncidentView>) {
        self.write(|live| live.open.insert(view.id.clone(), Arc::clone(&view)));
        self.announce(view.id.clone(), Some(view));
    }

    /// An incident is open no longer.
    pub fn remove_open(&self, id: &str) {
        if self.write(|live| live.open.remove(id)).is_some() {
            self.announce(id.to_string(), None);
        }
    }

    fn announce(&self, id: String, view: Option<Arc<IncidentView>>) {
        // Nobody needs to listen.
        drop(self.news.send(Arc::new(News { id, view, lines: Default::default() })));
    }

    /// All silences, in place of those that were known.
    pub fn replace_silences(&self, all: BTreeMap<String, Arc<Value>>) {
        self.write(|live| live.silences = all);
    }

    /// A silence as it is now; nothing where it was forgotten.
    pub fn put_silence(&self, id: &str, silence: Option<Arc<Value>>) {
        self.write(|live| match silence {
            Some(silence) => drop(live.silences.insert(id.to_string(), silence)),
            None => drop(live.silences.remove(id)),
        });
    }

    /// A revision that was published, for the index.
    pub fn take_past(&self, sequence: u64, view: &IncidentView) {
        self.write(|live| live.past.take(sequence, view));
    }

    /// Forgets what is past: the stream was made anew.
    pub fn forget_past(&self) {
        self.write(|live| live.past = Past::new(PAST_REVISIONS_MAX));
    }

    /// Why a part of the copy may be old; nothing where it is not.
    pub fn report_trouble(&self, part: &'static str, why: Option<String>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match why {
            Some(why) => drop(trouble.insert(part, why)),
            None => drop(trouble.remove(part)),
        }
    }

    /// Why what is shown may be old.
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.values().next().cloned()
    }
}
