//! What `murph doctor` looks at between nodes.

use super::Check;
use crate::{bus, config::Config};

/// Murph serves without it: its absence is not wrong.
pub(super) async fn bus(config: &Config) -> Check {
    let name = "bus";
    let url = &config.bus.url;
    if url.is_empty() {
        return Check::ok(name, "in process: this is the only node");
    }
    match bus::look(url).await {
        Ok(took) => Check::ok(name, format!("{url} let us in within {} ms", took.as_millis())),
        Err(away) => Check::warning(
            name,
            format!("{url} is away: {away}"),
            "start it, or check bus.url; until then nodes do not hear of each other",
        ),
    }
}
