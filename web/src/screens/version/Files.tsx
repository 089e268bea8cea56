import { useDocument } from "../../api/queries";
import { graphql } from "../../gql";
import { Answer } from "../../ui/Answer";
import type { NamedVersion } from "./Version";

const FILES = graphql(`
	query Files($version: ID!) {
		version(id: $version) {
			id
			blocks
			code
			downloads {
				onnx
				pytorch
				safetensors
			}
		}
	}
`);

const NAMES = { onnx: "ONNX", pytorch: "PyTorch source", safetensors: "weights as safetensors" };

/** The files of a version, and the code that builds it. */
export function Files({ model, version }: NamedVersion) {
	const files = useDocument(FILES, { version: version.id });
	return (
		<Answer query={files}>
			{({ version: found }) => {
				if (!found) return null;
				const { downloads, code, blocks } = found;
				const present = (["onnx", "pytorch", "safetensors"] as const).filter((format) => downloads[format]);
				return (
					<>
						<h2>Download</h2>
						{present.length === 0 ? (
							<p>This version was registered by its activations, so there is no network to download.</p>
						) : (
							<ul>
								{present.map((format) => (
									<li key={format}>
										<a
											href={downloads[format] ?? ""}
											download={`${model}-${version.number}-${basename(downloads[format])}`}
										>
											{NAMES[format]}
										</a>
									</li>
								))}
							</ul>
						)}
						{code && <Source name="PyTorch" text={code} />}
						{blocks != null && <Source name="Blocks" text={JSON.stringify(blocks, null, 2)} />}
					</>
				);
			}}
		</Answer>
	);
}

function basename(path: string | null | undefined): string {
	return path?.split("/").at(-1) ?? "";
}

function Source({ name, text }: { name: string; text: string }) {
	return (
		<section>
			<h2>
				{name}{" "}
				<button type="button" onClick={() => void navigator.clipboard.writeText(text)}>
					Copy
				</button>
			</h2>
			{/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
			<section className="source" tabIndex={0} aria-label={name}>
				<pre>{text}</pre>
			</section>
		</section>
	);
}
