//! The pickle machine, protocols 0 to 5, on plain data.
//!
//! A pickle is a list of instructions that push values onto a stack and combine them. Instructions that refer to a
//! Python name (`GLOBAL`, `INST`, …) give the names in [`Global`] a meaning of our own. Any other name has none: what is
//! made by calling it (`REDUCE`, `NEWOBJ`, …) is an object without behaviour, of which only the attributes and items
//! that the pickle itself spells out are kept (`BUILD`, `SETITEMS`). Nothing is executed, because there is no code here
//! that could be.

use std::collections::HashMap;

use super::error::{PytorchError, Result};
use call::{Persistent, call, persistent};
use global::Global;
use opcode::*;
use reader::Reader;
use value::{Id, Object, Value, Values};

mod call;
mod global;
mod opcode;
mod reader;
pub(super) mod value;

/// The maximum number of values in a pickle, of entries on the stack and of entries in the memo: enough for some 40,000
/// tensors.
const MAX_VALUES: usize = 1_000_000;

/// The maximum number of marks on the stack at the same time, which is the nesting depth of containers.
const MAX_MARKS: usize = 1_000;

/// The contents of a pickle.
pub(super) struct Pickle<'a> {
    /// All of its values.
    pub values: Values<'a>,
    /// The value that the pickle describes.
    pub root: Id,
    /// The offset of the byte after it.
    pub end: usize,
}

/// Reads the pickle that begins at byte `start`.
///
/// # Errors
/// If it is malformed or too large.
pub(super) fn read(bytes: &[u8], start: usize) -> Result<Pickle<'_>> {
    let mut machine = Machine {
        reader: Reader::new(bytes, start),
        values: Values::default(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    loop {
        let opcode = machine.reader.opcode()?;
        if opcode == STOP {
            let root = machine.pop()?;
            let end = machine.reader.position();
            let values = machine.values;
            return Ok(Pickle { values, root, end });
        }
        machine.step(opcode)?;
        machine.check_limits()?;
    }
}

struct Machine<'a> {
    reader: Reader<'a>,
    values: Values<'a>,
    stack: Vec<Id>,
    /// Heights of the stack. Entries below the last mark are out of reach until it is removed.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn step(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            MARK => self.marks.push(self.stack.len()),
            POP if self.stack.len() == self.floor() => drop(self.pop_mark()?),
            POP => drop(self.pop()?),
            POP_MARK => drop(self.pop_mark()?),
            DUP => self.stack.push(self.top()?),
            PROTO => self.protocol()?,
            FRAME => drop(self.reader.length8()?),

            NONE => self.push(Value::None),
            NEWTRUE | NEWFALSE => self.push(Value::Other),
            INT | LONG => self.push_read(Reader::decimal)?,
            BININT => {
                let integer = i32::from_le_bytes(self.reader.array()?);
                self.push(Value::Integer(integer.into()));
            }
            BININT1 => {
                let integer = self.reader.byte()?;
                self.push(Value::Integer(integer.into()));
            }
            BININT2 => {
                let integer = u16::from_le_bytes(self.reader.array()?);
                self.push(Value::Integer(integer.into()));
            }
            LONG1 => self.push_sized(|reader| reader.byte().map(usize::from), Reader::long)?,
            LONG4 => self.push_sized(Reader::length4, Reader::long)?,
            FLOAT => self.push_read(|reader| reader.line().map(|_| Value::Other))?,
            BINFLOAT => self.push_read(|reader| reader.take(8).map(|_| Value::Other))?,

            STRING => self.push_read(Reader::quoted_string)?,
            BINSTRING => self.push_sized(Reader::length4, Reader::text)?,
            SHORT_BINSTRING => self.push_sized(|reader| reader.byte().map(usize::from), Reader::text)?,
            UNICODE => self.push_read(Reader::escaped_text)?,
            SHORT_BINUNICODE => self.push_sized(|reader| reader.byte().map(usize::from), Reader::text)?,
            BINUNICODE => self.push_sized(Reader::length4, Reader::text)?,
            BINUNICODE8 => self.push_sized(Reader::length8, Reader::text)?,
            SHORT_BINBYTES => self.push_sized(|reader| reader.byte().map(usize::from), skip)?,
            BINBYTES => self.push_sized(Reader::length4, skip)?,
            BINBYTES8 | BYTEARRAY8 => self.push_sized(Reader::length8, skip)?,

            EMPTY_LIST | EMPTY_SET => self.push(Value::List(Vec::new())),
            LIST | FROZENSET => {
                let items = self.pop_mark()?;
                self.push(Value::List(items));
            }
            APPEND => {
                let item = self.pop()?;
                self.extend(vec![item])?;
            }
            APPENDS | ADDITEMS => {
                let items = self.pop_mark()?;
                self.extend(items)?;
            }
            EMPTY_TUPLE => self.push(Value::Tuple(Vec::new())),
            TUPLE => {
                let items = self.pop_mark()?;
                self.push(Value::Tuple(items));
            }
            TUPLE1 => self.tuple(1)?,
            TUPLE2 => self.tuple(2)?,
            TUPLE3 => self.tuple(3)?,
            EMPTY_DICT => self.push(Value::Dict(Vec::new())),
            DICT => {
                let items = self.pop_mark()?;
                self.push(Value::Dict(Vec::new()));
                self.set(items)?;
            }
            SETITEM => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(vec![key, value])?;
            }
            SETITEMS => {
                let items = self.pop_mark()?;
                self.set(items)?;
            }

            GET => self.recall(|reader| memo_line(reader))?,
            BINGET => self.recall(|reader| reader.byte().map(u32::from))?,
            LONG_BINGET => self.recall(|reader| reader.array().map(u32::from_le_bytes))?,
            PUT => self.remember(|reader| memo_line(reader))?,
            BINPUT => self.remember(|reader| reader.byte().map(u32::from))?,
            LONG_BINPUT => self.remember(|reader| reader.array().map(u32::from_le_bytes))?,
            MEMOIZE => {
                let next = self.memo.len() as u32;
                self.remember(|_| Ok(next))?;
            }

            GLOBAL => {
                let (module, name) = (self.reader.text_line()?, self.reader.text_line()?);
                self.push_global(module, name);
            }
            STACK_GLOBAL => self.stack_global()?,
            BINPERSID => self.persistent()?,
            REDUCE | NEWOBJ => {
                let arguments = self.pop()?;
                let function = self.pop()?;
                self.call_with(function, arguments)?;
            }
            NEWOBJ_EX => {
                let _keywords = self.pop()?;
                let arguments = self.pop()?;
                let class = self.pop()?;
                self.call_with(class, arguments)?;
            }
            INST => {
                let (module, name) = (self.reader.text_line()?, self.reader.text_line()?);
                let arguments = self.pop_mark()?;
                self.push_global(module, name);
                let function = self.pop()?;
                self.call_value(function, &arguments)?;
            }
            OBJ => match self.pop_mark()?.split_first() {
                Some((&function, arguments)) => self.call_value(function, arguments)?,
                None => return Err(self.reader.broken("an object without a class")),
            },
            BUILD => self.build()?,

            PERSID | EXT1 | EXT2 | EXT4 | NEXT_BUFFER | READONLY_BUFFER => {
                return Err(self
                    .reader
                    .broken(format!("torch.save never writes instruction {opcode:#04x}")));
            }
            _ => return Err(self.reader.broken(format!("{opcode:#04x} is not an instruction"))),
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<()> {
        let largest = self.values.size().max(self.stack.len()).max(self.memo.len());
        let (what, limit) = if largest > MAX_VALUES {
            ("more values than a state dict", MAX_VALUES)
        } else if self.marks.len() > MAX_MARKS {
            ("containers nested deeper than a state dict", MAX_MARKS)
        } else {
            return Ok(());
        };
        Err(PytorchError::TooLarge { what, limit })
    }

    /// The height of the stack below which entries are out of reach.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id> {
        let reach = self.stack.get(self.floor()..).unwrap_or_default();
        reach
            .last()
            .copied()
            .ok_or_else(|| self.reader.broken("the stack is empty"))
    }

    fn pop(&mut self) -> Result<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// Removes the last mark, and the entries above it.
    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        match self.marks.pop() {
            Some(height) => Ok(self.stack.split_off(height)),
            None => Err(self.reader.broken("there is no mark on the stack")),
        }
    }

    fn push(&mut self, value: Value<'a>) {
        let id = self.values.add(value);
        self.stack.push(id);
    }

    fn push_read(&mut self, read: impl FnOnce(&mut Reader<'a>) -> Result<Value<'a>>) -> Result<()> {
        let value = read(&mut self.reader)?;
        self.push(value);
        Ok(())
    }

    /// Pushes a value that is preceded by its length.
    fn push_sized(
        &mut self,
        length: impl FnOnce(&mut Reader<'a>) -> Result<usize>,
        read: impl FnOnce(&mut Reader<'a>, usize) -> Result<Value<'a>>,
    ) -> Result<()> {
        let length = length(&mut self.reader)?;
        self.push_read(|reader| read(reader, length))
    }

    fn protocol(&mut self) -> Result<()> {
        match self.reader.byte()? {
            0..=5 => Ok(()),
            other => Err(self
                .reader
                .broken(format!("protocol {other} is not supported (0 to 5 are)"))),
        }
    }

    fn tuple(&mut self, count: usize) -> Result<()> {
        let reach = self.stack.len() - self.floor();
        if reach < count {
            return Err(self.reader.broken("the stack is empty"));
        }
        let items = self.stack.split_off(self.stack.len() - count);
        self.push(Value::Tuple(items));
        Ok(())
    }

    /// Appends to the list on top.
    fn extend(&mut self, items: Vec<Id>) -> Result<()> {
        let top = self.top()?;
        match self.values.get_mut(top) {
            Value::List(list) => list.extend(items),
            // Items of a list that is dropped.
            Value::Other | Value::Object(_) => {}
            _ => {
                return Err(self
                    .reader
                    .broken("something is appended to a value that is not a list"));
            }
        }
        Ok(())
    }

    /// Sets alternating keys and values in the dict on top.
    fn set(&mut self, items: Vec<Id>) -> Result<()> {
        let (pairs, []) = items.as_chunks::<2>() else {
            return Err(self.reader.broken("a key without a value"));
        };
        let top = self.top()?;
        match self.values.get_mut(top) {
            Value::Dict(dict) => dict.extend(pairs.iter().map(|&[key, value]| (key, value))),
            Value::Object(object) => object.items.extend(pairs.iter().map(|&[key, value]| (key, value))),
            Value::Other => {}
            _ => return Err(self.reader.broken("a key is set in a value that is not a dict")),
        }
        Ok(())
    }

    fn recall(&mut self, index: impl FnOnce(&mut Reader<'a>) -> Result<u32>) -> Result<()> {
        let index = index(&mut self.reader)?;
        match self.memo.get(&index) {
            Some(&id) => self.stack.push(id),
            None => return Err(self.reader.broken(format!("the memo has no entry {index}"))),
        }
        Ok(())
    }

    fn remember(&mut self, index: impl FnOnce(&mut Reader<'a>) -> Result<u32>) -> Result<()> {
        let index = index(&mut self.reader)?;
        let top = self.top()?;
        self.memo.insert(index, top);
        Ok(())
    }

    /// Pushes the meaning of a name.
    fn push_global(&mut self, module: &'a str, name: &'a str) {
        if let Some(global) = Global::named(module, name) {
            return self.push(Value::Global(global));
        }
        let module = self.values.add(Value::Text(module.into()));
        let name = self.values.add(Value::Text(name.into()));
        self.push(Value::Unknown { module, name });
    }

    fn stack_global(&mut self) -> Result<()> {
        let name = self.pop()?;
        let module = self.pop()?;
        let (Some(module_text), Some(name_text)) = (self.values.text(module), self.values.text(name)) else {
            return Err(self.reader.broken("a name is not text"));
        };
        let global = Global::named(module_text, name_text);
        self.push(global.map_or(Value::Unknown { module, name }, Value::Global));
        Ok(())
    }

    /// Replaces a persistent id by its storage, or by the class that it names.
    fn persistent(&mut self) -> Result<()> {
        let id = self.pop()?;
        match persistent(id, &self.values) {
            Some(Persistent::Storage(storage)) => self.push(Value::Storage(storage)),
            Some(Persistent::Class(class)) => self.stack.push(class),
            Some(Persistent::UnknownStorage) => self.push(Value::Other),
            None => return Err(self.reader.broken("a persistent id does not refer to a storage")),
        }
        Ok(())
    }

    fn call_with(&mut self, function: Id, arguments: Id) -> Result<()> {
        match self.values.arguments(arguments) {
            Some(arguments) => self.call_value(function, &arguments),
            None => Err(self.reader.broken("the arguments of a call are not a tuple")),
        }
    }

    fn call_value(&mut self, function: Id, arguments: &[Id]) -> Result<()> {
        let result = match *self.values.get(function) {
            Value::Global(global) => call(global, arguments, &mut self.values),
            Value::Unknown { .. } => Ok(self.values.add(Value::Object(Box::new(Object::of(function))))),
            Value::Object(_) | Value::Other => Ok(self.values.add(Value::Other)),
            _ => Err("a value is called that is not a name"),
        };
        match result {
            Ok(result) => self.stack.push(result),
            Err(what) => return Err(self.reader.broken(what)),
        }
        Ok(())
    }

    /// Keeps the attributes of an object of an unknown class. Those of known ones hold no tensor of a state dict.
    fn build(&mut self) -> Result<()> {
        let state = self.pop()?;
        let top = self.top()?;
        match self.values.get_mut(top) {
            Value::Object(object) => object.state = Some(state),
            Value::Dict(_) | Value::List(_) | Value::Tensor(_) | Value::Other | Value::Unknown { .. } => {}
            _ => return Err(self.reader.broken("attributes are set on a value that has none")),
        }
        Ok(())
    }
}

/// An index into the memo, as a line of digits.
fn memo_line(reader: &mut Reader<'_>) -> Result<u32> {
    let line = reader.text_line()?;
    line.trim()
        .parse()
        .map_err(|_| reader.broken("an index into the memo is not a number"))
}

fn skip<'a>(reader: &mut Reader<'a>, count: usize) -> Result<Value<'a>> {
    reader.take(count).map(|_| Value::Other)
}

#[cfg(test)]
mod tests;
