//! The API's reference: the OpenAPI document as a page, drawn here, with nothing from elsewhere.

use aide::openapi::{
    OpenApi, Operation, Parameter, ParameterSchemaOrContent, ReferenceOr, StatusCode,
};
use askama::Template;
use axum::response::Html;
use schemars::Schema;
use serde_json::Value;

use crate::central::api::document;

use super::failure::Failure;
use super::shell::{Here, Section, Shell, draw};

/// Where schemas stand in the document.
const SCHEMAS: &str = "#/components/schemas/";

#[derive(Template)]
#[template(path = "reference.html", config = "src/central/portal/askama.toml")]
struct ReferencePage {
    shell: Shell,
    keys: String,
    lead: String,
    groups: Vec<Group>,
    refusals: Vec<AnswerView>,
    values: Vec<ValueView>,
}

/// Operations of one tag.
struct Group {
    title: String,
    operations: Vec<OperationView>,
}

struct OperationView {
    id: String,
    method: &'static str,
    path: String,
    summary: String,
    inputs: Vec<Field>,
    answers: Vec<AnswerView>,
    /// The statuses with which it is refused; what they mean is the same everywhere.
    refusals: Vec<String>,
}

/// A parameter, a part of a body, or a part of a value.
struct Field {
    name: String,
    /// Whether there is the same with a `-` before it.
    excludes: bool,
    place: &'static str,
    kind: Kind,
    description: String,
}

struct AnswerView {
    status: u16,
    kind: Option<Kind>,
    description: String,
}

/// A value that answers carry.
struct ValueView {
    name: String,
    description: String,
    fields: Vec<Field>,
}

/// What a value looks like, with the named value that it is or holds.
struct Kind {
    words: String,
    named: Option<String>,
}

/// Someone looks up what the API can be asked.
pub(super) async fn show(here: Here) -> Result<Html<String>, Failure> {
    let document = document();
    draw(&ReferencePage {
        shell: here.shell(Section::Reference),
        keys: here.base.settings("keys"),
        lead: document.info.description.clone().unwrap_or_default(),
        groups: groups(document),
        refusals: refusals(document),
        values: values(document),
    })
}

fn groups(document: &OpenApi) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let paths = document.paths.iter().flat_map(|paths| &paths.paths);
    for (path, item) in paths {
        let Some(item) = item.as_item() else { continue };
        for (method, operation) in item.iter() {
            let title = operation.tags.first().cloned().unwrap_or_default();
            let view = OperationView::new(method, path, operation);
            match groups.iter_mut().find(|group| group.title == title) {
                Some(group) => group.operations.push(view),
                None => groups.push(Group {
                    title,
                    operations: vec![view],
                }),
            }
        }
    }
    groups
}

/// What each refusal means, once.
fn refusals(document: &OpenApi) -> Vec<AnswerView> {
    let paths = document.paths.iter().flat_map(|paths| paths.paths.values());
    let operations = paths
        .filter_map(ReferenceOr::as_item)
        .flat_map(|item| item.iter());
    let mut refusals: Vec<AnswerView> = operations
        .flat_map(|(_, operation)| answers(operation))
        .filter(|answer| !answer.is_good())
        .collect();
    refusals.sort_by_key(|answer| answer.status);
    refusals.dedup_by_key(|answer| answer.status);
    refusals
}

fn values(document: &OpenApi) -> Vec<ValueView> {
    let components = document.components.iter();
    let schemas = components.flat_map(|components| &components.schemas);
    let mut values: Vec<ValueView> = schemas
        .map(|(name, schema)| ValueView {
            name: name.clone(),
            description: description(&schema.json_schema),
            fields: fields(&schema.json_schema, ""),
        })
        .collect();
    values.sort_by(|one, other| one.name.cmp(&other.name));
    values
}

impl AnswerView {
    fn is_good(&self) -> bool {
        self.status < 300
    }
}

impl OperationView {
    fn new(method: &str, path: &str, operation: &Operation) -> OperationView {
        let parameters = operation.parameters.iter().filter_map(ReferenceOr::as_item);
        let mut inputs: Vec<Field> = parameters.map(parameter).collect();
        // What a parameter asks for, the same with a - before it leaves out: one row tells both.
        let excluding: Vec<String> = inputs
            .iter()
            .filter_map(|field| field.name.strip_prefix('-').map(str::to_owned))
            .collect();
        inputs.retain(|field| !field.name.starts_with('-'));
        for field in &mut inputs {
            field.excludes = excluding.contains(&field.name);
        }
        let body = operation.request_body.as_ref();
        let body = body.and_then(ReferenceOr::as_item).into_iter();
        for media in body.flat_map(|body| body.content.values()) {
            if let Some(schema) = &media.schema {
                inputs.push(Field {
                    name: "body".to_owned(),
                    excludes: false,
                    place: "body",
                    kind: Kind::of(&schema.json_schema),
                    description: description(&schema.json_schema),
                });
            }
        }
        let (answers, refusals): (Vec<_>, Vec<_>) = answers(operation)
            .into_iter()
            .partition(AnswerView::is_good);
        OperationView {
            id: operation.operation_id.clone().unwrap_or_default(),
            method: match method {
                "post" => "POST",
                "patch" => "PATCH",
                "delete" => "DELETE",
                _ => "GET",
            },
            path: path.to_owned(),
            summary: operation.summary.clone().unwrap_or_default(),
            inputs,
            answers,
            refusals: refusals.iter().map(|it| it.status.to_string()).collect(),
        }
    }
}

fn parameter(parameter: &Parameter) -> Field {
    let data = parameter.parameter_data_ref();
    Field {
        name: data.name.clone(),
        excludes: false,
        place: match parameter {
            Parameter::Path { .. } => "path",
            Parameter::Header { .. } => "header",
            Parameter::Query { .. } | Parameter::Cookie { .. } => "query",
        },
        kind: match &data.format {
            ParameterSchemaOrContent::Schema(schema) => Kind::of(&schema.json_schema),
            ParameterSchemaOrContent::Content(_) => Kind::plain("text"),
        },
        description: data.description.clone().unwrap_or_default(),
    }
}

fn answers(operation: &Operation) -> Vec<AnswerView> {
    let responses = operation.responses.iter().flat_map(|all| &all.responses);
    let mut answers: Vec<AnswerView> = responses
        .filter_map(|(status, response)| {
            let StatusCode::Code(status) = status else {
                return None;
            };
            let response = response.as_item()?;
            let media = response.content.values().next();
            let schema = media.and_then(|media| media.schema.as_ref());
            Some(AnswerView {
                status: *status,
                kind: schema.map(|schema| Kind::of(&schema.json_schema)),
                description: response.description.clone(),
            })
        })
        .collect();
    answers.sort_by_key(|answer| answer.status);
    answers
}

/// The parts of an object.
fn fields(schema: &Schema, place: &'static str) -> Vec<Field> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let fields = properties.into_iter().flatten().filter_map(|(name, part)| {
        let part = Schema::try_from(part.clone()).ok()?;
        Some(Field {
            name: name.clone(),
            excludes: false,
            place,
            kind: Kind::of(&part),
            description: description(&part),
        })
    });
    fields.collect()
}

fn description(schema: &Schema) -> String {
    let text = schema.get("description").and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

impl Kind {
    fn plain(words: impl Into<String>) -> Kind {
        Kind {
            words: words.into(),
            named: None,
        }
    }

    fn of(schema: &Schema) -> Kind {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            return Kind {
                words: String::new(),
                named: Some(reference.trim_start_matches(SCHEMAS).to_owned()),
            };
        }
        let all_of = ["anyOf", "oneOf", "allOf"]
            .iter()
            .find_map(|word| schema.get(*word)?.as_array());
        if let Some(choices) = all_of {
            let named = choices.iter().find_map(|choice| choice.get("$ref"));
            if let Some(named) = named {
                let schema = Schema::try_from(serde_json::json!({ "$ref": named }));
                return schema.map_or_else(|_| Kind::plain("any"), |schema| Kind::of(&schema));
            }
        }
        if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
            let words = choices.iter().filter_map(Value::as_str);
            return Kind::plain(words.collect::<Vec<_>>().join(", "));
        }
        let types: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let is_time = schema.get("format").is_some_and(|it| it == "date-time");
        match types.first().copied() {
            Some("array") => {
                let items = schema.get("items").cloned();
                let items = items.and_then(|items| Schema::try_from(items).ok());
                let of = items.map_or_else(|| Kind::plain("any"), |items| Kind::of(&items));
                Kind {
                    words: format!("list of {}", of.words),
                    named: of.named,
                }
            }
            Some("string") if is_time => Kind::plain("time"),
            Some("string") => Kind::plain("text"),
            Some("integer") => Kind::plain("whole number"),
            Some("boolean") => Kind::plain("true or false"),
            Some(other) => Kind::plain(other),
            None => Kind::plain("any"),
        }
    }
}
