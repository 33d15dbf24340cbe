//! What devices and objects take, which a machine is asked: no schema lists it.

use std::future::Future;

use qplug_qapi::introspection::{Object, Properties, Property, Schema, Shape, is_fragile, nearest};
use qplug_qmp::{Client, Error};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::impossible;
use super::source::{self, Freshness};
use crate::failure::{Exit, Failure};
use crate::monitor::Monitor;
use crate::output::{Output, table};

/// What a QEMU is not asked that has no schema.
const TOO_OLD: &str = "QEMU makes a device to tell what it takes, and before 2.5, when the schema came, \
                       some devices were the end of it: this one is not asked";

/// What a type is of which a machine has been seen to end.
const FRAGILE: &str = "QEMU makes one to tell what it takes, and has been seen to end at that: it is \
                       not asked about this type";

/// Whether it is a device or an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// What `device_add` makes.
    Device,
    /// What `object-add` makes.
    Object,
}

impl Class {
    /// The type that all of them implement.
    fn root(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Object => "user-creatable",
        }
    }

    /// The command that tells what one takes.
    fn command(self) -> &'static str {
        match self {
            Self::Device => "device-list-properties",
            Self::Object => "qom-list-properties",
        }
    }

    /// The class of what a command makes, and the argument that names its type.
    pub(crate) fn made_by(command: &str) -> Option<(Self, &'static str)> {
        match command {
            "device_add" => Some((Self::Device, "driver")),
            "object-add" => Some((Self::Object, "qom-type")),
            _ => None,
        }
    }
}

/// What a type takes; `None` where the machine has no such type, cannot tell, or is better not asked.
/// Only ever ask about a type that is about to be made, or that the user names: QEMU makes one to look.
pub(crate) async fn of(
    client: &Client,
    class: Class,
    type_name: &str,
) -> Result<Option<Properties>, Failure> {
    // QEMU makes one of any type that it is asked about as an object's, be it none that anybody makes.
    if class == Class::Object && !types(client, class).await?.iter().any(|it| it == type_name) {
        return Ok(None);
    }
    // `virtio-blk` is short for the one of the machine's kind of bus.
    let is_short = class == Class::Device && type_name.starts_with("virtio-");
    let kinds = if is_short { &["", "-ccw", "-pci"][..] } else { &[""] };
    for kind in kinds {
        let type_name = format!("{type_name}{kind}");
        if is_fragile(&type_name) {
            return Ok(None);
        }
        let arguments = json!({"typename": type_name});
        if let Some(reply) =
            unless_refused(client.execute(class.command(), Some(&arguments))).await?
        {
            let properties = Properties::parse(reply.get());
            return properties
                .map(Some)
                .map_err(|error| Failure { exit: Exit::Other, message: error.to_string() });
        }
    }
    Ok(None)
}

/// What a type takes, device or object, for who types it: nothing where a machine is better not asked.
pub(crate) async fn offered(
    client: &Client,
    type_name: &str,
) -> Result<Option<Properties>, Failure> {
    let commands = source::commands(client).await?.unwrap_or_default();
    if commands.iter().all(|it| it != source::COMMAND) {
        return Ok(None);
    }
    match of(client, Class::Device, type_name).await? {
        None if !is_fragile(type_name) => of(client, Class::Object, type_name).await,
        found => Ok(found),
    }
}

/// The types that a machine can make, in order; none where it cannot tell. QEMU loads all its modules
/// to tell, which takes it some 60 ms the first time: for people, and after a refusal.
pub(crate) async fn types(client: &Client, class: Class) -> Result<Vec<String>, Failure> {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let arguments = json!({"implements": class.root(), "abstract": false});
    let reply = client.execute("qom-list-types", Some(&arguments));
    let Some(reply) = unless_refused(reply).await? else { return Ok(Vec::new()) };
    let types: Vec<Named> = serde_json::from_str(reply.get()).unwrap_or_default();
    let mut names: Vec<_> = types.into_iter().map(|one| one.name).collect();
    names.sort_unstable();
    Ok(names)
}

async fn unless_refused<T>(
    reply: impl Future<Output = Result<T, Error>>,
) -> Result<Option<T>, Failure> {
    match reply.await {
        Ok(reply) => Ok(Some(reply)),
        Err(error) if error.refusal().is_some() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// `qplug schema device` and `qplug schema object`
pub(super) async fn run(
    class: Class,
    name: Option<String>,
    monitor: &Monitor,
    output: &Output,
) -> Result<Exit, Failure> {
    let client = monitor.connect().await?;
    let schema = source::live(&client, Freshness::Cached).await?.map(|known| known.schema);
    let in_schema = schema.as_ref().and_then(|schema| objects(schema, class));
    let Some(name) = name else {
        let names = match in_schema {
            Some((_, names)) => names,
            None => types(&client, class).await?,
        };
        drop(client);
        output
            .result(&names, |out| names.iter().try_for_each(|name| writeln!(out, "{name}")))
            .await?;
        return Ok(Exit::Done);
    };
    let told = match (&schema, in_schema) {
        (Some(schema), Some((object, names))) if names.contains(&name) => {
            told_by(schema, object, &name)
        }
        (None, _) => return Err(impossible(TOO_OLD)),
        (_, Some(_)) => return Err(unknown(&client, class, &name).await?),
        _ if is_fragile(&name) => return Err(impossible(format!("{name}: {FRAGILE}"))),
        _ => match of(&client, class, &name).await? {
            Some(properties) => properties.iter().map(Told::of).collect(),
            None => return Err(unknown(&client, class, &name).await?),
        },
    };
    drop(client);
    show(&name, &told, output).await
}

async fn unknown(client: &Client, class: Class, name: &str) -> Result<Failure, Failure> {
    let types = types(client, class).await?;
    let what = match types.iter().any(|it| it == name) {
        true => "this QEMU does not tell what it takes".to_owned(),
        false => format!("this QEMU has no such type{}", did_you_mean(name, &types)),
    };
    Ok(impossible(format!("{name}: {what}")))
}

/// How the names of devices on PCI end, which people leave out.
const ON_PCI: &str = "-pci";

/// The likest names, as a question.
pub(crate) fn did_you_mean(name: &str, names: &[String]) -> String {
    let short = |name: &'_ str| name.strip_suffix(ON_PCI).unwrap_or(name).to_owned();
    let shorts: Vec<_> = names.iter().map(|name| short(name)).collect();
    let like = nearest(&short(name), shorts.iter().map(String::as_str)).into_iter();
    let whole = |like: String| match names.contains(&like) {
        true => like,
        false => like + ON_PCI,
    };
    let like: Vec<_> = like.map(whole).collect();
    if like.is_empty() { String::new() } else { format!("; did you mean {}?", like.join(" or ")) }
}

/// What `object-add` takes and the types it makes, where the schema has them: since 6.0, when it
/// became safe to know.
fn objects(schema: &Schema, class: Class) -> Option<(&Object, Vec<String>)> {
    let object = schema.arguments("object-add").filter(|_| class == Class::Object)?;
    let tag = object.member(object.tag.as_deref()?)?;
    let Shape::Enum(words) = schema.shape(tag.type_id) else { return None };
    let mut names: Vec<_> = words.iter().map(|word| word.name.clone()).collect();
    names.sort_unstable();
    Some((object, names))
}

/// What is told of one thing that a type takes.
#[derive(Serialize)]
struct Told {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
    /// Known only where a schema has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    required: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

impl Told {
    fn of(property: &Property) -> Self {
        let Property { name, type_name, description, default } = property.clone();
        Self { name, type_name, required: None, default, description }
    }
}

fn told_by(schema: &Schema, object: &Object, name: &str) -> Vec<Told> {
    let of = object.variant(name).and_then(|variant| schema.object(variant.type_id));
    let members = of.into_iter().flat_map(|object| &object.members);
    let told = members.map(|member| Told {
        name: member.name.clone(),
        type_name: schema.type_name(member.type_id),
        required: Some(!member.optional),
        default: None,
        description: None,
    });
    let mut told: Vec<_> = told.collect();
    told.sort_by(|one, other| one.name.cmp(&other.name));
    told
}

async fn show(name: &str, told: &[Told], output: &Output) -> Result<Exit, Failure> {
    let value = json!({"name": name, "properties": told});
    let row = |it: &Told| {
        let default = match &it.default {
            Some(default) => default.to_string(),
            None if it.required == Some(true) => "(required)".to_owned(),
            None => String::new(),
        };
        let description = it.description.clone().unwrap_or_default();
        [it.name.clone(), it.type_name.clone(), default, description]
    };
    output
        .result(&value, |out| {
            table(out, ["NAME", "TYPE", "DEFAULT", "DESCRIPTION"], told.iter().map(row))
        })
        .await?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_leave_out_of_a_name_is_no_difference() {
        let names = ["virtio-blk-pci", "virtio-mem", "nvme"].map(str::to_owned);
        for (name, question) in [
            ("virtio-bk", "; did you mean virtio-blk-pci or virtio-mem?"),
            ("virtio-blk-pcy", "; did you mean virtio-blk-pci?"),
            ("nvm", "; did you mean nvme?"),
            ("zebra", ""),
        ] {
            assert_eq!(did_you_mean(name, &names), question, "{name}");
        }
    }
}
