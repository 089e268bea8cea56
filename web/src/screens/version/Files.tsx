import { Link } from "@tanstack/react-router";
import { useEffect, useMemo, useState } from "react";
import { useDocument } from "../../api/queries";
import { graphql } from "../../gql";
import { Answer } from "../../ui/Answer";
import { Source } from "../../ui/Source";
import { useDraft } from "../build/draft";
import { fragmentOf } from "../build/link";
import { type Network, readNetwork } from "../build/parse";
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
						{blocks != null && <OpenInBuild dataset={version.dataset.name} blocks={blocks} />}
						{code && <Source name="PyTorch" fileName={`${model}-${version.number}.py`} text={code} />}
						{blocks != null && (
							<Source
								name="Blocks"
								fileName={`${model}-${version.number}.json`}
								text={JSON.stringify(blocks, null, 2)}
							/>
						)}
					</>
				);
			}}
		</Answer>
	);
}

function basename(path: string | null | undefined): string {
	return path?.split("/").at(-1) ?? "";
}

/** A link to Build with the network of this version, if Build can show it. The version stays as it is. */
function OpenInBuild({ dataset, blocks }: { dataset: string; blocks: unknown }) {
	const found = useMemo(() => networkOf(dataset, blocks), [dataset, blocks]);
	return typeof found === "string" ? (
		<p className="quiet">Build cannot show this network. {found}</p>
	) : (
		<p>
			<NetworkLink network={found} />
		</p>
	);
}

function NetworkLink({ network }: { network: Network }) {
	const open = useDraft((draft) => draft.open);
	const [fragment, setFragment] = useState<string | null>(null);
	useEffect(() => {
		void fragmentOf(network).then(setFragment);
	}, [network]);
	// What is too large for an address is handed over by the click.
	return (
		<Link
			to="/build"
			className="button"
			{...(fragment === null ? { onClick: () => open(network) } : { hash: fragment })}
		>
			Open in Build
		</Link>
	);
}

/** A network, or why there is none to show. */
function networkOf(dataset: string, blocks: unknown): Network | string {
	try {
		return readNetwork({ dataset, blocks });
	} catch (error) {
		return (error as Error).message;
	}
}
