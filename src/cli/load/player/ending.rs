//! The last minute of a player: how it ends, and what it is told then.

use std::time::Instant;

use serde_json::json;
use tokio::time::timeout;

use super::{PATIENCE, Player};
use crate::cli::load::{
    api::{Ask, Receipt},
    fleet::Ending,
    link::{Heard, Link, Lost},
};

impl Player {
    /// Ends the session as this player does, and waits for the receipt.
    pub(super) async fn end(&mut self, mut link: Link) {
        let ending = match self.ending {
            // Whoever stops the fleet wants its sessions ended now, and not after the grace.
            Ending::Drop if self.run.stop.is_cancelled() => Ending::Rest,
            ending => ending,
        };
        let began = Instant::now();
        match ending {
            Ending::Drop => return,
            Ending::Rest => {
                self.end_over_http().await;
                self.hear_receipt(&mut link, None).await;
            }
            Ending::Socket | Ending::Mixed => {
                if let Err(lost) = link.say(r#"{"type":"end"}"#.to_owned()).await {
                    self.count_error(&lost.kind);
                } else {
                    self.hear_receipt(&mut link, Some(began)).await;
                }
            }
        }
        if self.played.receipt.is_none() && self.played.answer.is_none() {
            self.end_over_http().await;
        }
    }

    /// The way that needs no socket.
    pub(super) async fn end_over_http(&mut self) {
        let Some(session) = self.played.session else { return };
        let began = Instant::now();
        let ask = Ask::post("end", format!("/sessions/{session}/end"), json!({}));
        match self.ask::<Receipt>(&ask).await {
            Ok(receipt) => {
                self.run.api.tally().end.record(began.elapsed());
                self.played.answer = Some(receipt);
            }
            Err(refusal) => self.count_refusal("end", &refusal),
        }
    }

    /// Listens until the server has said its last word. `asked`: since when it owes the receipt.
    async fn hear_receipt(&mut self, link: &mut Link, asked: Option<Instant>) {
        let last_words = async {
            loop {
                match link.hear().await {
                    Heard::Receipt(receipt) => {
                        if let Some(asked) = asked {
                            self.run.api.tally().end.record(asked.elapsed());
                        }
                        self.played.receipt = Some(*receipt);
                    }
                    Heard::Lost(lost) => return lost,
                    Heard::Tick(tick) => self.played.tick = Some(tick),
                    Heard::Error(code) => {
                        self.run.api.tally().count_error(&format!("message: error {code}"));
                    }
                    _ => {}
                }
            }
        };
        match timeout(PATIENCE, last_words).await {
            Ok(Lost { code: Some(1000), .. }) if self.played.receipt.is_some() => {}
            Ok(lost) => self.count_error(&format!("{} instead of receipt and 1000", lost.kind)),
            Err(_) => self.count_error("no receipt in time"),
        }
    }
}
