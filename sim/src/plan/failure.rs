//! What a run of a plan came to, kept beside the plan: the one file from which a failure is seen again elsewhere.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// At which commit it was seen: another one may do something else with the same plan.
    pub commit: String,
    pub check: String,
    pub what: String,
    /// Simulated seconds, where one moment can be named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_s: Option<f64>,
    /// Of the whole run; empty if there was no report.
    pub trace_hash: String,
}
