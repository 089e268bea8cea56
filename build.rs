//! The page is embedded in the program, so the program is built again when the page was.

fn main() {
    println!("cargo::rerun-if-changed=web/dist");
}
