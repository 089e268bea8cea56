import { Link } from "@tanstack/react-router";
import { useDocument } from "../../api/queries";
import { graphql } from "../../gql";
import { Answer } from "../../ui/Answer";
import { Source } from "../../ui/Source";
import { useDraft } from "../build/draft";
import { readBlocks } from "../build/parse";
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
						{blocks != null && <OpenInBuild blocks={blocks} dataset={version.dataset.name} />}
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

/** A link to Build with the network of this version. The version stays as it is. */
function OpenInBuild({ blocks, dataset }: { blocks: unknown; dataset: string }) {
	const set = useDraft((draft) => draft.set);
	return (
		<p>
			<Link to="/build" className="button" onClick={() => set({ blocks: readBlocks(blocks), dataset, selected: "0" })}>
				Open in Build
			</Link>
		</p>
	);
}
