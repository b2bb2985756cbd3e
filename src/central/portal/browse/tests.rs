use crate::central::store::Agent;

use super::*;

fn spec() -> Spec {
    let (path, export) = ("/things".to_owned(), "/exports/things".to_owned());
    Spec::of::<Agent>(path, export, ("thing", "things"))
}

fn wish(query: &[(&str, &str)]) -> Wish {
    let pairs = query
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Wish::read(&spec(), pairs.collect()).expect("the address can be read")
}

fn tools(query: &[(&str, &str)]) -> Tools {
    let catalog = const { &Agent::CATALOG };
    let tally = Tally {
        row_count: 3,
        facets: catalog.facets.iter().map(counts).collect(),
    };
    Tools::tallied::<Agent>(&spec(), wish(query), tally)
}

/// As the store counts: two are known by an e-mail, one is not; of the rest nothing is known.
fn counts(facet: &crate::central::store::CatalogFacet) -> Vec<(String, i64)> {
    match facet.name {
        "known" => vec![("e-mail".to_owned(), 2), ("raw id".to_owned(), 1)],
        _ => Vec::new(),
    }
}

#[test]
fn a_list_is_narrowed_and_sorted_as_its_address_says() {
    let criteria =
        wish(&[("text", "o"), ("-known", "raw id"), ("sort", "-cost")]).criteria(&spec());
    assert_eq!((&*criteria.text, &*criteria.sort), ("o", "-cost"));
    let without = Pick {
        facet: "known",
        value: "raw id".to_owned(),
        is_excluded: true,
    };
    assert_eq!(criteria.picks, [without]);
}

#[test]
fn links_narrow_and_sort_what_is_narrowed_already() {
    let all = tools(&[]);
    assert_eq!(all.facets.len(), 1, "a facet without a value is none");
    let values = &all.facets[0].values;
    let counts: Vec<&str> = values.iter().map(|value| &*value.count).collect();
    assert_eq!(counts, ["2", "1"]);
    assert_eq!(values[0].only, "/things?known=e-mail");
    assert_eq!(values[1].exclude, "/things?-known=raw%20id");
    assert!(!all.is_narrowed() && !all.is_sorted());

    let narrow = tools(&[("known", "e-mail"), ("text", "o"), ("after", "x")]);
    assert_eq!(narrow.count, "3 things");
    assert_eq!(narrow.chips[1].without, "/things?text=o");
    let href = |column| narrow.sorted_by(column).map(|link| link.href);
    assert_eq!(
        href("cost").as_deref(),
        Some("/things?text=o&known=e-mail&sort=-cost")
    );
    assert_eq!(href("color"), None, "there is no such column");
    let sorted = tools(&[("sort", "-cost")]).sorted_by("cost");
    let sorted = sorted.expect("a link");
    assert_eq!(
        (sorted.direction, &*sorted.href),
        (Some("descending"), "/things?sort=cost")
    );
}

#[test]
fn an_address_that_cannot_be_read_is_refused() {
    for pairs in [
        vec![("known", "e-mail"), ("known", "raw id")],
        vec![("sort", "color")],
    ] {
        let pairs = pairs.into_iter();
        let pairs = pairs.map(|(key, value): (&str, &str)| (key.to_owned(), value.to_owned()));
        assert!(Wish::read(&spec(), pairs.collect()).is_err());
    }
}
