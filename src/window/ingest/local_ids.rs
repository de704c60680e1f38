//! Numbers the groups of one pane from 0, in order of appearance.
//!
//! The numbers are in pages over the ids of the key space. Ids are dense, and hosts that are interned together are mostly seen
//! together: a lookup touches one cache line where a hash table touches two or three. Pages without a group are not allocated.

use crate::window::ingest::group_id::GroupId;

const PAGE: usize = 256;
const NONE: u32 = u32::MAX;

/// The local numbers of a pane's groups.
#[derive(Clone, Debug, Default)]
pub struct LocalIds {
    pages: Vec<Option<Box<[u32; PAGE]>>>,
    next: u32,
}

impl LocalIds {
    /// The local number of a group, and whether it was assigned just now.
    pub fn get_or_assign(&mut self, id: GroupId) -> (u32, bool) {
        let (page, at) = (id as usize / PAGE, id as usize % PAGE);
        if page >= self.pages.len() {
            self.pages.resize(page + 1, None);
        }
        let slot = &mut self.pages[page].get_or_insert_with(|| Box::new([NONE; PAGE]))[at];
        let new = *slot == NONE;
        if new {
            *slot = self.next;
            self.next += 1;
        }
        (*slot, new)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let pages = self.pages.iter().flatten().count() * size_of::<[u32; PAGE]>();
        self.pages.capacity() * size_of::<Option<Box<[u32; PAGE]>>>() + pages
    }
}

#[cfg(test)]
mod tests {
    use super::LocalIds;

    #[test]
    fn groups_are_numbered_as_they_appear() {
        let mut ids = LocalIds::default();
        let got: Vec<(u32, bool)> = [7, 3, 7, 70_000, 3].into_iter().map(|id| ids.get_or_assign(id)).collect();
        assert_eq!(got, [(0, true), (1, true), (0, false), (2, true), (1, false)]);
        assert!(ids.bytes() < 8_000, "far ids cost a pointer a page: {}", ids.bytes());
    }
}
