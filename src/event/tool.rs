//! Which tool a record is about.
//!
//! An MCP tool is named in one of three ways (WIRE.md, sections 2.1 and 5): by `mcp_server_name` and
//! `mcp_tool_name` inside `tool_parameters`, which is JSON in a string and can be cut; by the
//! attributes `mcp_server.name` and `mcp_tool.name` (Cowork); or as `mcp__server__tool`.

use super::Attributes;
use super::cut_json::whole_string;

/// The name that clients since 2.1.2 give to every MCP tool of the user's own.
const MCP_TOOL: &str = "mcp_tool";

/// Whether a tool is the client's own or an MCP server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ToolKind {
    /// `Bash`, `Read`, `Edit`, …
    BuiltIn,
    /// A tool of an MCP server.
    Mcp,
}

/// A tool as the inventory names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToolName {
    /// Where the tool comes from.
    pub kind: ToolKind,
    /// `Bash`, or `<server>:<tool>`.
    pub name: String,
}

impl ToolName {
    /// The tool that a `tool_result` or `tool_decision` names, if it names one.
    ///
    /// An MCP tool whose server the client did not name (`OTEL_LOG_TOOL_DETAILS` is off) is the MCP
    /// tool `mcp_tool`.
    pub fn read(attributes: &Attributes<'_>) -> Option<ToolName> {
        let name = attributes.text("tool_name");
        let parameters = attributes.text("tool_parameters").unwrap_or_default();
        let server = whole_string(&parameters, "mcp_server_name")
            .or_else(|| attributes.text("mcp_server.name"));
        let tool =
            whole_string(&parameters, "mcp_tool_name").or_else(|| attributes.text("mcp_tool.name"));
        if let (Some(server), Some(tool)) = (server, tool) {
            return Some(ToolName::mcp(&server, &tool));
        }
        let name = name?;
        if let Some((server, tool)) = name
            .strip_prefix("mcp__")
            .and_then(|rest| rest.split_once("__"))
            && !server.is_empty()
            && !tool.is_empty()
        {
            return Some(ToolName::mcp(server, tool));
        }
        let kind = if name == MCP_TOOL {
            ToolKind::Mcp
        } else {
            ToolKind::BuiltIn
        };
        Some(ToolName { kind, name })
    }

    fn mcp(server: &str, tool: &str) -> ToolName {
        ToolName {
            kind: ToolKind::Mcp,
            name: format!("{server}:{tool}"),
        }
    }
}
