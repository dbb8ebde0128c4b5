//! What is written of the bus interface, against what is served.

use std::collections::BTreeSet;

use zbus::DBusError;

use super::super::error::Error;
use super::super::watch::path_of;
use super::Fixture;
use crate::names;

const XML: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/dbus/org.traceleft1.xml"));
const MAN: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/man/org.traceleft1.5"));

/// The members of our interfaces, one line for each element: the elements it is in, and its attributes in
/// order of their names.
fn members(xml: &str) -> BTreeSet<String> {
    let mut text = xml.to_owned();
    while let Some(start) = text.find("<!--") {
        let end = start + text[start..].find("-->").expect("a comment has no end") + 3;
        text.replace_range(start..end, "");
    }
    let mut lines = BTreeSet::new();
    let mut path: Vec<String> = Vec::new();
    for piece in text.split('<').skip(1) {
        let tag = piece.split_once('>').expect("a tag has no end").0;
        if tag.starts_with(['?', '!']) {
            continue;
        }
        if tag.starts_with('/') {
            path.pop();
            continue;
        }
        let empty = tag.ends_with('/');
        let (element, attributes) = tag.trim_end_matches('/').split_once(' ').unwrap_or((tag, ""));
        let mut attributes: Vec<_> =
            attributes.split_inclusive("\" ").map(str::trim).filter(|a| !a.is_empty()).collect();
        attributes.sort_unstable();
        path.push(format!("{element} {}", attributes.join(" ")));
        let line = path.join(" / ");
        if line.contains("interface name=\"org.traceleft1.") {
            lines.insert(line[line.find("interface").unwrap()..].to_owned());
        }
        if empty {
            path.pop();
        }
    }
    assert!(path.is_empty(), "elements without end: {path:?}");
    lines
}

fn attribute<'a>(element: &'a str, name: &str) -> &'a str {
    let start = element.find(&format!(" {name}=\"")).expect(name) + name.len() + 3;
    element[start..].split('"').next().unwrap()
}

#[test]
fn introspection_is_as_documented() {
    let fixture = Fixture::start(&[(3, "nginx.service")]);
    let introspect = |path: &str| {
        let reply = fixture.call(path, "org.freedesktop.DBus.Introspectable", "Introspect", &()).unwrap();
        reply.body().deserialize::<String>().unwrap()
    };
    let mut served = members(&introspect(names::MANAGER_PATH));
    served.extend(members(&introspect(path_of(3).as_str())));
    let documented = members(XML);
    assert!(documented.len() > 40, "{documented:#?}");
    assert_eq!(served, documented);
}

#[test]
fn the_manual_names_every_member_and_error() {
    let mut missing = Vec::new();
    for line in members(XML) {
        let mut elements = line.split(" / ");
        let interface = attribute(elements.next().unwrap(), "name").to_uppercase();
        let section = MAN.split_once(&format!(".SH {interface}\n")).expect(&interface).1;
        let section = section.split("\n.SH ").next().unwrap();
        let (Some(member), None) = (elements.next(), elements.next()) else { continue };
        let name = attribute(member, "name");
        let heading = if member.starts_with("method") {
            format!("\n.BR {name} \"(")
        } else {
            format!("\n.BI {name} \" {}\"\n", attribute(member, "type"))
        };
        if !section.contains(&heading) {
            missing.push(heading);
        }
    }
    let text = String::new;
    let errors = [
        Error::UnknownEvent(text()),
        Error::InvalidUnitName(text()),
        Error::NoSuchWatch(text()),
        Error::NotRunTime(text()),
        Error::InvalidPolicy(text()),
        Error::Kernel(text()),
        Error::LimitReached(text()),
        Error::NoSystemd(text()),
        Error::InvalidArgs(text()),
        Error::Failed(text()),
    ];
    for error in errors {
        let heading = format!(".B {}\n", error.name());
        if !MAN.contains(&heading) {
            missing.push(heading);
        }
    }
    assert!(missing.is_empty(), "man/org.traceleft1.5 lacks {missing:#?}");
}
