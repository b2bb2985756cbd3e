//! Marks what somebody looks for in a turn, and unfolds the lines that have it.

use super::{Line, NoticeLine, ToolLine, TurnView};

impl TurnView {
    /// Marks every place where `word` stands, and counts them.
    pub(in crate::central::portal) fn mark(&mut self, word: &str) -> usize {
        let prompt = self.prompt.as_mut().map_or(0, |prompt| prompt.mark(word));
        prompt
            + self
                .lines
                .iter_mut()
                .map(|line| line.mark(word))
                .sum::<usize>()
    }
}

impl Line {
    fn mark(&mut self, word: &str) -> usize {
        match self {
            Line::Prompt(passage) | Line::Absent(passage) => passage.mark(word),
            Line::Response(response) => response.text.mark(word),
            Line::Tool(tool) => tool.mark(word),
            Line::Notice(notice) => notice.mark(word),
            Line::Models(models) => models.models.mark(word),
            Line::Gap(_) => 0,
        }
    }
}

impl ToolLine {
    fn mark(&mut self, word: &str) -> usize {
        let folded: usize = [&mut self.input, &mut self.error]
            .into_iter()
            .flatten()
            .map(|passage| passage.mark(word))
            .sum();
        self.is_open = folded > 0;
        folded + self.name.mark(word) + self.argument.mark(word)
    }
}

impl NoticeLine {
    fn mark(&mut self, word: &str) -> usize {
        self.phrase.verb.mark(word) + self.phrase.detail.mark(word)
    }
}
