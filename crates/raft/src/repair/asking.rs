//! What is asked of others for a damaged log, and what their answers are worth.

use super::{Opener, Outside, Repair, Repairing};
use crate::peer::{Asked, understand, why_not};
use seedlog_api::raft_v1 as v1;
use seedlog_log::{Checkpoint, Entry, Lacking, Lender};
use seedlog_runtime::{blocking, clock};
use std::ops::Range;
use std::sync::Arc;

enum Answer {
    Entries(Vec<Entry>),
    /// From here on the log has what was never committed, and others have what was.
    Superseded(u64),
    /// What is asked for was trimmed: the log is to start behind this.
    Trimmed(Checkpoint),
}

/// What the others are asked for, and by whom.
pub(super) struct Asking<'a> {
    pub opener: &'a Opener,
    pub lacking: &'a Lacking,
    pub lender: Arc<Lender>,
}

impl Asking<'_> {
    /// Gets copies of what is missing, or learns that some of it need not be had.
    pub async fn fetch(&self, repair: &mut Repair) {
        let is_missing = |index: &u64| self.lacking.missing.iter().any(|gap| (gap.from..gap.to).contains(index));
        repair.remedy.copies.retain(|index, _| is_missing(index));
        let mut bytes = 0;
        for gap in &self.lacking.missing {
            let (mut from, mut before) = (gap.from, gap.before);
            while from < gap.to {
                if let Some(start) = repair.remedy.start.as_ref().filter(|start| start.next_index() > from) {
                    (from, before) = (start.next_index(), start.last);
                    continue;
                }
                if let Some(copy) = repair.remedy.copies.get(&from) {
                    (from, before) = (from + 1, Some(copy.id));
                    continue;
                }
                if bytes >= repair.round_bytes {
                    return;
                }
                let committed = self.lacking.committed >= Some(gap.to - 1);
                let asked = Asked { entries: from..gap.to, before, then: gap.then, committed };
                match self.ask(&asked, repair).await {
                    Answer::Entries(entries) => {
                        repair.fetched += entries.len();
                        self.opener.outside.tally.repaired(entries.len());
                        bytes += entries.iter().map(|entry| entry.payload.len()).sum::<usize>();
                        repair.remedy.copies.extend(entries.into_iter().map(|entry| (entry.id.index, entry)));
                    }
                    Answer::Trimmed(start) => repair.remedy.start = Some(start),
                    Answer::Superseded(from) => {
                        tracing::warn!(
                            from,
                            "entries of this log were never committed, and others were in their place"
                        );
                        drop(repair.remedy.copies.split_off(&from));
                        repair.remedy.end = Some(from);
                        return;
                    }
                }
            }
        }
    }

    /// Asks one after the other until one can say something.
    async fn ask(&self, asked: &Asked, repair: &mut Repair) -> Answer {
        let Range { start, end } = asked.entries;
        let lacks = format!("it repairs its log, which lacks entries {start}..{end}");
        self.tell(lacks.clone());
        loop {
            let mut said = String::new();
            // Each time anew: who it remembers may all be gone, and others there.
            let others = self.opener.heard_of(self.lacking);
            for _ in 0..others.len() {
                let nth = repair.turn % others.len();
                let (node_id, known) = others.iter().nth(nth).expect("it is one of them");
                let answer = self.opener.peers.entries(*node_id, known, asked).await;
                let answer = match answer {
                    Ok(response) => self.understand(response, asked).await,
                    Err(status) => Err(why_not(&status)),
                };
                match answer {
                    Ok(answer) => return answer,
                    Err(why) => said.push_str(&format!("; node {node_id:016x} says: {why}")),
                }
                repair.turn += 1;
            }
            self.tell(format!("{lacks}{said}"));
            clock::sleep(self.opener.pause).await;
        }
    }

    /// # Errors
    /// Why it is of no use.
    async fn understand(&self, response: v1::EntriesResponse, asked: &Asked) -> Result<Answer, String> {
        if let Some(index) = response.superseded {
            if self.lacking.committed >= Some(index) {
                return Err(format!("entry {index} is another one, and this node knows its own to be committed"));
            }
            return Ok(Answer::Superseded(index));
        }
        if !response.checkpoint.is_empty() {
            let start = Checkpoint::decode(&response.checkpoint).map_err(|bad| bad.to_string())?;
            return self.start_behind(start, asked).await;
        }
        understand(response, asked).map(Answer::Entries)
    }

    /// Whether this log may start there: what it has behind that must follow it.
    ///
    /// # Errors
    /// If that cannot be seen.
    async fn start_behind(&self, start: Checkpoint, asked: &Asked) -> Result<Answer, String> {
        let Some(last) = start.last.filter(|last| last.index >= asked.entries.start) else {
            return Err("a start that is not behind what was asked for".to_owned());
        };
        if last.index + 1 >= self.lacking.end || self.lacking.committed >= Some(last.index) {
            return Ok(Answer::Trimmed(start));
        }
        let (lender, index) = (self.lender.clone(), last.index);
        let here = blocking(move || lender.entries(index, index + 1, 0)).await.map_err(|error| error.to_string())?;
        match here.first() {
            Some(entry) if entry.id == last => Ok(Answer::Trimmed(start)),
            Some(_) => Ok(Answer::Superseded(index)),
            None => Err(format!("it has trimmed entries up to {index}, and this node has lost that one, too")),
        }
    }

    fn tell(&self, about: String) {
        let Outside { repairing, tally, .. } = &self.opener.outside;
        if repairing.borrow().as_ref().is_none_or(|repairing| repairing.about != about) {
            tracing::info!("{about}");
        }
        let (me, lender) = (self.opener.config.owner, self.lender.clone());
        repairing.send(Some(Repairing { about, me, lender, tally: tally.clone() }));
    }
}
