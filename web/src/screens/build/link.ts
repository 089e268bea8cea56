import { type Network, readNetwork } from "./parse";

/** What browsers and chats take as part of an address. */
const MAX_LINK_CHARACTERS = 8_192;
const MAX_UNPACKED_BYTES = 1_048_576;

const NAME = "draft=";

/** The text behind `#` of an address that shows a network, or null if it would be too long. No network needs none. */
export async function fragmentOf({ dataset, blocks }: Network): Promise<string | null> {
	if (blocks.length === 0) return "";
	const text = new Blob([JSON.stringify({ dataset, blocks })]);
	const stream = text.stream().pipeThrough(new CompressionStream("deflate-raw"));
	const packed = new Uint8Array(await new Response(stream).arrayBuffer());
	// Four characters stand for three bytes.
	if (packed.length > (MAX_LINK_CHARACTERS * 3) / 4) return null;
	const base64 = btoa(String.fromCharCode(...packed));
	return NAME + base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The network of an address, or null if it has none. Throws an error that says what is wrong with it. */
export async function readFragment(fragment: string): Promise<Network | null> {
	if (!fragment.startsWith(NAME)) return null;
	const network = await unpacked(fragment.slice(NAME.length)).catch(() => {
		throw new Error("Its text is cut off or changed.");
	});
	return readNetwork(network);
}

async function unpacked(text: string): Promise<Record<string, unknown>> {
	if (text.length > MAX_LINK_CHARACTERS) throw new Error("too long");
	const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
	const packed = new Blob([Uint8Array.from(binary, (character) => character.charCodeAt(0))]);
	const reader = packed.stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
	const parts: BlobPart[] = [];
	let size = 0;
	for (let part = await reader.read(); !part.done; part = await reader.read()) {
		size += part.value.length;
		if (size > MAX_UNPACKED_BYTES) throw new Error("too large");
		parts.push(part.value);
	}
	const json = await new Blob(parts).text();
	return Object(JSON.parse(json));
}
