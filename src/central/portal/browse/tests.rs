use super::*;

struct Thing(&'static str, i64);

impl Listed for Thing {
    type Which = ();

    async fn page(_: From<'_, ()>, _: PageRequest) -> Result<Page<Thing>, StoreError> {
        unreachable!("no store is asked")
    }

    fn id(&self) -> &str {
        self.0
    }

    fn texts(&self) -> Vec<&str> {
        vec![self.0]
    }

    fn facet(&self, name: &str) -> Option<String> {
        (name == "size").then(|| if self.1 > 1 { "large" } else { "small" }.to_owned())
    }

    fn measure(&self, column: &str) -> Option<Measure> {
        (column == "size")
            .then(|| Measure::number(self.1))
            .flatten()
    }
}

fn spec() -> Spec {
    Spec {
        path: "/things".to_owned(),
        export: "/exports/things".to_owned(),
        searches: "Name",
        nouns: ("thing", "things"),
        facets: &[("size", "Size")],
    }
}

fn selected(query: &[(&str, &str)]) -> Selection<Thing> {
    let pairs = query
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let wish = Wish::read(&spec(), pairs.collect()).expect("no field stands there twice");
    let things = vec![Thing("Ant", 1), Thing("bear", 3), Thing("cow", 2)];
    Selection::of(&spec(), wish, things, true)
}

#[test]
fn rows_are_narrowed_counted_and_sorted_as_the_address_says() {
    let names = |query: &[(&str, &str)]| -> Vec<&'static str> {
        let selection = selected(query);
        selection.rows.iter().map(|thing| thing.0).collect()
    };
    assert_eq!(names(&[]), ["Ant", "bear", "cow"]);
    assert_eq!(names(&[("text", "A")]), ["Ant", "bear"]);
    assert_eq!(names(&[("size", "large")]), ["bear", "cow"]);
    assert_eq!(names(&[("-size", "large")]), ["Ant"]);
    assert_eq!(names(&[("sort", "-size")]), ["bear", "cow", "Ant"]);
    assert_eq!(names(&[("sort", "-size"), ("after", "cow")]), ["Ant"]);
    let all = selected(&[]);
    let counts: Vec<&str> = all.tools.facets[0]
        .values
        .iter()
        .map(|value| value.count.as_str())
        .collect();
    assert_eq!(counts, ["2", "1"]);
    assert_eq!(all.tools.facets[0].values[0].only, "/things?size=large");
    let large = selected(&[("size", "large"), ("text", "o")]);
    assert_eq!(large.tools.count, "1 thing");
    assert_eq!(large.tools.chips[1].without, "/things?text=o");
    assert_eq!(
        large.tools.sorted_by("size").href,
        "/things?text=o&size=large&sort=-size"
    );
}

#[test]
fn a_field_that_stands_there_twice_is_refused() {
    let twice = ["a", "b"].map(|value| ("size".to_owned(), value.to_owned()));
    assert!(Wish::read(&spec(), twice.into()).is_err());
}
