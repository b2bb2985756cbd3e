//! What narrows and sorts a list of the inventory: the parameters that its catalog names, as its page has them.

use std::marker::PhantomData;
use std::sync::Arc;

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::{Operation, Response};
use aide::operation::{ParamLocation, add_parameters, parameters_from_schema};
use axum::extract::{FromRequestParts, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::central::Central;
use crate::central::store::{CatalogFacet, Cataloged, Criteria, Pick, Tally};

use super::problem::Problem;

/// What says which part of a list is wanted.
const PAGING: [&str; 2] = ["cursor", "limit"];

/// Which rows of a list are wanted, and in which order. A parameter that it does not know is refused: who
/// narrows a list by a word that is misspelled must not take all of it for what was asked.
pub(super) struct Narrow<T> {
    pub(super) criteria: Criteria,
    of: PhantomData<fn() -> T>,
}

/// Which rows of a list are wanted, where their order says nothing.
pub(super) struct Which<T>(pub(super) Narrow<T>);

impl<T: Cataloged> Narrow<T> {
    /// Reads what narrows a list, or a tally, which has neither an order nor parts.
    fn read(pairs: Vec<(String, String)>, is_list: bool) -> Result<Narrow<T>, Problem> {
        let catalog = const { &T::CATALOG };
        let mut criteria = Criteria::default();
        let mut seen: Vec<String> = Vec::new();
        for (key, value) in pairs {
            let (is_excluded, name) = match key.strip_prefix('-') {
                Some(name) => (true, name),
                None => (false, key.as_str()),
            };
            match (catalog.facet(name), key.as_str()) {
                (Some(facet), _) => criteria.picks.push(Pick {
                    facet: facet.name,
                    value,
                    is_excluded,
                }),
                (None, "text") => criteria.text = value,
                (None, "sort") if is_list => criteria.sort = value,
                (None, key) if is_list && PAGING.contains(&key) => {}
                (None, key) if catalog.of.contains(&key) => {}
                (None, key) => {
                    let known = parameters::<T>();
                    let known: Vec<&str> = known.keys().map(String::as_str).collect();
                    return Err(Problem::unusable(format!(
                        "there is no parameter {key}: a list is narrowed by {}, and sorted by sort",
                        known.join(", ")
                    )));
                }
            }
            if seen.contains(&key) {
                return Err(Problem::unusable(format!("{key} stands there twice")));
            }
            seen.push(key);
        }
        Ok(Narrow {
            criteria,
            of: PhantomData,
        })
    }
}

/// What the document says of the parameters that narrow a list.
fn parameters<T: Cataloged>() -> Map<String, Value> {
    let catalog = const { &T::CATALOG };
    let mut parameters = Map::new();
    let text = format!(
        "Text in one of: {}. In capitals or not.",
        catalog.searches.to_lowercase()
    );
    parameters.insert(
        "text".to_owned(),
        json!({ "type": "string", "description": text }),
    );
    for facet in catalog.facets {
        let parameter = |about: String| {
            let mut parameter = json!({ "type": "string", "description": about });
            if !facet.one_of.is_empty() {
                parameter["enum"] = json!(facet.one_of);
            }
            parameter
        };
        let without = format!("Without those that have this {}.", facet.name);
        parameters.insert(facet.name.to_owned(), parameter(facet.about.to_owned()));
        parameters.insert(format!("-{}", facet.name), parameter(without));
    }
    parameters
}

/// The values of `sort`.
fn orders<T: Cataloged>() -> Value {
    let catalog = const { &T::CATALOG };
    let columns: Vec<&str> = catalog.columns().collect();
    let descending = columns.iter().map(|column| format!("-{column}"));
    let orders: Vec<String> = columns
        .iter()
        .map(|column| (*column).to_owned())
        .chain(descending)
        .collect();
    json!({
        "type": "string",
        "enum": orders,
        "description": "The column to sort by; with a - before it, the greatest first.",
    })
}

fn document(context: &mut GenContext, operation: &mut Operation, parameters: Map<String, Value>) {
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), Value::Object(parameters));
    let schema = Schema::from(schema);
    let parameters = parameters_from_schema(context, schema, ParamLocation::Query);
    add_parameters(context, operation, parameters);
}

async fn read<T: Cataloged>(
    parts: &mut Parts,
    central: &Arc<Central>,
    is_list: bool,
) -> Result<Narrow<T>, Problem> {
    let pairs = Query::<Vec<(String, String)>>::from_request_parts(parts, central).await;
    let pairs = pairs.map_err(|rejection| Problem::unusable(rejection.body_text()))?;
    Narrow::read(pairs.0, is_list)
}

impl<T: Cataloged> FromRequestParts<Arc<Central>> for Narrow<T> {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        central: &Arc<Central>,
    ) -> Result<Narrow<T>, Problem> {
        read(parts, central, true).await
    }
}

impl<T: Cataloged> FromRequestParts<Arc<Central>> for Which<T> {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        central: &Arc<Central>,
    ) -> Result<Which<T>, Problem> {
        read(parts, central, false).await.map(Which)
    }
}

impl<T: Cataloged> OperationInput for Narrow<T> {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        let mut parameters = parameters::<T>();
        parameters.insert("sort".to_owned(), orders::<T>());
        document(context, operation, parameters);
    }

    fn inferred_early_responses(
        context: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, Response)> {
        let status = StatusCode::BAD_REQUEST;
        vec![Problem::documented(context, operation, status)]
    }
}

impl<T: Cataloged> OperationInput for Which<T> {
    fn operation_input(context: &mut GenContext, operation: &mut Operation) {
        document(context, operation, parameters::<T>());
    }

    fn inferred_early_responses(
        context: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, Response)> {
        Narrow::<T>::inferred_early_responses(context, operation)
    }
}

/// How many rows a list has, and by what it can be narrowed.
#[derive(Serialize, JsonSchema)]
pub(super) struct Facets {
    /// Rows.
    row_count: i64,
    /// By what they can be narrowed.
    facets: Vec<FacetOf>,
}

#[derive(Serialize, JsonSchema)]
struct FacetOf {
    /// The parameter that narrows by it.
    name: &'static str,
    /// As people say it.
    title: &'static str,
    /// The values, the most frequent 100 first.
    values: Vec<ValueOf>,
}

#[derive(Serialize, JsonSchema)]
struct ValueOf {
    /// As the parameter takes it.
    value: String,
    /// Rows with it.
    row_count: i64,
}

impl Facets {
    pub(super) fn of<T: Cataloged>(tally: Tally) -> Facets {
        let catalog = const { &T::CATALOG };
        let facet = |(facet, values): (&CatalogFacet, Vec<(String, i64)>)| FacetOf {
            name: facet.name,
            title: facet.title,
            values: values
                .into_iter()
                .map(|(value, row_count)| ValueOf { value, row_count })
                .collect(),
        };
        Facets {
            row_count: tally.row_count,
            facets: catalog.facets.iter().zip(tally.facets).map(facet).collect(),
        }
    }
}
