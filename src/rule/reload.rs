//! Rule files that change under a running process: what is good is taken, and where a file is bad, its last good text goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::diagnostic::Diagnostic;
use crate::model::diagnostic::report::Report;
use crate::model::local_time::Zone;
use crate::rule::check::{LoadedRules, from_texts_in, read};
use crate::rule::definition::file;
use crate::rule::lookup;

/// The rule files of some folders as they lie on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilesOnDisk {
    /// By path: the text, or why there is none.
    pub files: BTreeMap<PathBuf, Result<Arc<str>, String>>,
    /// Folders that cannot be read or hold no rules, and why.
    pub no_folders: Vec<(PathBuf, String)>,
}

impl FilesOnDisk {
    /// Reads every rule file below `paths`.
    pub fn read(paths: &[PathBuf]) -> Self {
        Self::read_with_lookups(paths, None)
    }

    /// Reads every rule file below `paths`, and the lookups in a folder.
    pub fn read_with_lookups(paths: &[PathBuf], lookups: Option<&Path>) -> Self {
        let mut all = Self::default();
        if let Some(dir) = lookups {
            match lookup::files::find(dir) {
                Ok(found) => all.files.extend(found.into_iter().map(|path| {
                    let text = read(&path);
                    (path, text)
                })),
                Err(error) => all.no_folders.push((dir.to_path_buf(), format!("the lookups cannot be read: {error}"))),
            }
        }
        for path in paths {
            match file::find(path) {
                Ok(found) if found.is_empty() => all.no_folders.push((path.clone(), "no rule files here".into())),
                Ok(found) => all.files.extend(found.into_iter().map(|path| {
                    let text = read(&path);
                    (path, text)
                })),
                Err(error) => all.no_folders.push((path.clone(), format!("cannot be read: {error}"))),
            }
        }
        all
    }
}

/// RuleTexts that are good together, by path.
pub type RuleTexts = BTreeMap<PathBuf, Arc<str>>;

/// What came of a look at the files.
#[derive(Debug)]
pub struct ReloadedRules {
    /// The rules to go on with.
    pub rules: LoadedRules,
    /// Their texts.
    pub texts: RuleTexts,
    /// Everything that is wrong on disk, with the texts to point into.
    pub reports: Vec<Report>,
    /// Files whose last good text stands in for what lies on disk.
    pub stale: BTreeSet<PathBuf>,
    /// Files that are bad and never were good.
    pub left_out: BTreeSet<PathBuf>,
}

/// Makes rules of the files on disk; `good` are the texts of the rules that run, and `zone` the time zone of those that
/// name none. On errors that leave no choice, such as a folder
/// that cannot be read: what is wrong.
pub fn reload(disk: &FilesOnDisk, good: &RuleTexts, zone: Zone) -> Result<ReloadedRules, Report> {
    let mut unread = Report::default();
    if !disk.no_folders.is_empty() {
        disk.no_folders.iter().for_each(|(path, why)| unread.add(path, Diagnostic::without_hint(0..0, why.as_str())));
        return Err(unread);
    }
    let mut sorting = Sorting::new(good);
    for (path, text) in &disk.files {
        match text {
            Ok(text) if good.get(path) == Some(text) => drop(sorting.standing.insert(path.clone(), Arc::clone(text))),
            Ok(text) => drop(sorting.new.insert(path.clone(), Arc::clone(text))),
            Err(why) => {
                unread.add(path, Diagnostic::without_hint(0..0, why.as_str()));
                sorting.refuse(path);
            }
        }
    }
    let mut reports = if unread.is_empty() { Vec::new() } else { vec![unread] };
    loop {
        // What stands comes first: of two rules with one name, the one that runs keeps it.
        let all = sorting.standing.iter().chain(&sorting.new);
        match from_texts_in(all.map(|(path, text)| (path.clone(), Arc::clone(text))).collect(), zone) {
            Ok(rules) => {
                let Sorting { mut standing, new, stale, left_out, .. } = sorting;
                standing.extend(new);
                return Ok(ReloadedRules { rules, texts: standing, reports, stale, left_out });
            }
            Err(wrong) => {
                let blamed: BTreeSet<PathBuf> = wrong.files().map(Path::to_path_buf).collect();
                let before = sorting.new.len();
                for path in blamed.iter().filter(|path| sorting.new.remove(*path).is_some()).collect::<Vec<_>>() {
                    sorting.refuse(path);
                }
                if sorting.new.len() == before {
                    return Err(wrong);
                }
                reports.push(wrong);
            }
        }
    }
}

/// Which text of each file is taken.
struct Sorting<'g> {
    good: &'g RuleTexts,
    standing: RuleTexts,
    new: RuleTexts,
    stale: BTreeSet<PathBuf>,
    left_out: BTreeSet<PathBuf>,
}

impl<'g> Sorting<'g> {
    fn new(good: &'g RuleTexts) -> Self {
        Self { good, standing: RuleTexts::new(), new: RuleTexts::new(), stale: BTreeSet::new(), left_out: BTreeSet::new() }
    }

    /// What lies on disk is bad: the last good text stands in, where there is one.
    fn refuse(&mut self, path: &PathBuf) {
        match self.good.get(path) {
            Some(text) => {
                self.standing.insert(path.clone(), Arc::clone(text));
                self.stale.insert(path.clone());
            }
            None => drop(self.left_out.insert(path.clone())),
        }
    }
}
