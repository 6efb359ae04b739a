//! The API in writing, served as it stands in the tree. The tests hold it against the routes; `ci/openapi` holds it
//! against a running node.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;

const DOCUMENT: &str = include_str!("../../../../proto/log/v1/openapi.json");

pub fn document() -> Response {
    let mut response = Response::new(Body::from(DOCUMENT));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::DOCUMENT;
    use crate::http::body::BadBody;
    use crate::http::failure::Failure;
    use crate::http::query::BadQuery;
    use crate::http::routes::ROUTES;
    use crate::http::{events, metrics, records};
    use seedlog_api::ApiError;
    use serde_json::Value;
    use std::collections::BTreeSet;
    use std::time::Duration;

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    fn operations(document: &Value) -> Vec<(String, String, &Value)> {
        let paths = document["paths"].as_object().unwrap().iter();
        paths
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().unwrap().iter();
                methods.map(move |(method, operation)| (path.clone(), method.to_uppercase(), operation))
            })
            .collect()
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let document = document();
        let described: BTreeSet<_> =
            operations(&document).into_iter().map(|(path, method, _)| (path, method)).collect();
        let routed: BTreeSet<_> =
            ROUTES.iter().map(|(path, method, _)| ((*path).to_owned(), method.to_string())).collect();
        assert_eq!(described, routed);
    }

    #[test]
    fn every_query_parameter_is_described_and_nothing_else() {
        let document = document();
        for (path, method, operation) in operations(&document) {
            let given = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
            let described: BTreeSet<&str> = given
                .iter()
                .map(|parameter| match parameter["$ref"].as_str() {
                    Some(reference) => document.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
                    None => parameter,
                })
                .filter(|parameter| parameter["in"] == "query")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            let known = match (method.as_str(), path.as_str()) {
                ("GET", "/v1/records") => records::PARAMETERS,
                ("GET", "/v1/tail") => events::PARAMETERS,
                _ => &[],
            };
            assert_eq!(described, known.iter().copied().collect(), "{method} {path}");
        }
    }

    /// One of each that can be answered; a new variant has to be added here to compile.
    fn failures() -> Vec<Failure> {
        let text = String::new;
        let all = vec![
            Failure::Body(BadBody::Empty { expected: "" }),
            Failure::Query(BadQuery::Repeated { name: "" }),
            Failure::LastEventId { given: text(), max: 0 },
            Failure::BodyTooLarge { bytes: 0 },
            Failure::BodyLate { after: Duration::ZERO },
            Failure::BodyBroken { error: text() },
            Failure::BodyUnasked { path: text() },
            Failure::NotAnswered { after: Duration::ZERO, writes: true },
            Failure::NotLive { what: text() },
            Failure::NotReady { reasons: Vec::new(), what: None },
            ApiError::OffsetOutOfRange { asked: 0, first: 0, next: 0 }.into(),
            ApiError::RecordTooLarge { index: 0, bytes: 0, max: 0 }.into(),
            ApiError::BatchTooLarge { bytes: 0, max: 0 }.into(),
            ApiError::EmptyRequest.into(),
            ApiError::RecordAndRecords.into(),
            ApiError::Malformed { what: text() }.into(),
            ApiError::ExpectedOffset { expected: 0, next: 0 }.into(),
            ApiError::Fenced { given: None, current: 0 }.into(),
            ApiError::SequenceTooOld { sequence: 0, expected: 0 }.into(),
            ApiError::SequenceGap { sequence: 0, expected: 0 }.into(),
            ApiError::NoLeader.into(),
            ApiError::Starting { what: text() }.into(),
            ApiError::BeingRepaired { what: text() }.into(),
            ApiError::ShuttingDown.into(),
            ApiError::OutcomeUnknown.into(),
            ApiError::DiskFull { wanted_bytes: 0, free_bytes: 0, reserve_bytes: 0 }.into(),
            ApiError::BadServerId { id: text() }.into(),
            ApiError::UnknownServer { id: text() }.into(),
            ApiError::NotAVoter { id: text() }.into(),
            ApiError::LastVoter { id: text() }.into(),
            ApiError::ChangeInProgress.into(),
            ApiError::ChangeRefused { what: text() }.into(),
            ApiError::Internal { what: text() }.into(),
        ];
        for failure in &all {
            match failure {
                Failure::Body(_) | Failure::Query(_) | Failure::LastEventId { .. } => {}
                Failure::BodyTooLarge { .. } | Failure::BodyLate { .. } | Failure::BodyBroken { .. } => {}
                Failure::BodyUnasked { .. } | Failure::NotAnswered { .. } => {}
                Failure::NotLive { .. } | Failure::NotReady { .. } => {}
                // No operation has them: they are about what is no operation.
                Failure::NoSuchPath { .. } | Failure::NoSuchMethod { .. } => {}
                Failure::Api(error) => match error {
                    ApiError::OffsetOutOfRange { .. } | ApiError::RecordTooLarge { .. } => {}
                    ApiError::BatchTooLarge { .. } | ApiError::EmptyRequest | ApiError::RecordAndRecords => {}
                    ApiError::Malformed { .. } | ApiError::ExpectedOffset { .. } | ApiError::Fenced { .. } => {}
                    ApiError::SequenceTooOld { .. } | ApiError::SequenceGap { .. } | ApiError::NoLeader => {}
                    ApiError::Starting { .. } | ApiError::BeingRepaired { .. } | ApiError::ShuttingDown => {}
                    ApiError::OutcomeUnknown | ApiError::DiskFull { .. } => {}
                    ApiError::BadServerId { .. } | ApiError::UnknownServer { .. } | ApiError::NotAVoter { .. } => {}
                    ApiError::LastVoter { .. } | ApiError::ChangeInProgress | ApiError::ChangeRefused { .. } => {}
                    ApiError::Internal { .. } => {}
                    // HTTP has no field for a log or a group yet.
                    ApiError::UnknownLog { .. } | ApiError::Unsupported { .. } => {}
                },
            }
        }
        all
    }

    #[test]
    fn every_status_that_there_is_is_described_and_no_other() {
        let document = document();
        let described: BTreeSet<String> = operations(&document)
            .into_iter()
            .flat_map(|(_, _, operation)| operation["responses"].as_object().unwrap().keys().cloned())
            .collect();
        let answered: BTreeSet<String> =
            failures().iter().map(|failure| failure.status().as_str().to_owned()).chain(["200".to_owned()]).collect();
        assert_eq!(described, answered);
    }

    #[test]
    fn the_metrics_are_of_the_type_that_is_described() {
        let content = &document()["paths"]["/metrics"]["get"]["responses"]["200"]["content"];
        let types: Vec<&String> = content.as_object().unwrap().keys().collect();
        assert_eq!(types, [metrics::CONTENT_TYPE]);
    }

    #[test]
    fn it_is_of_this_version() {
        assert_eq!(document()["info"]["version"], env!("CARGO_PKG_VERSION"));
    }
}
