//! All that the pages need to answer a request.

use std::sync::Arc;

use crate::io::web::access::Access;
use crate::io::web::backend::Backend;
use crate::io::web::feed::Feed;
use crate::page::pages::Pages;

/// The pages of one process.
pub struct Site {
    /// What is open, silenced and past.
    pub feed: Arc<Feed>,
    /// Where commands go, and what is asked for seldom.
    pub backend: Arc<dyn Backend>,
    /// The templates.
    pub pages: Pages,
    /// Who may see and do what.
    pub access: Access,
}
