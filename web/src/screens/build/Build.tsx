import { useEffect, useState } from "react";
import { useDocument } from "../../api/queries";
import { request } from "../../api/request";
import { graphql } from "../../gql";
import type { BlockInput } from "../../gql/graphql";
import { Answer } from "../../ui/Answer";
import { Facts } from "../../ui/Facts";
import { Filters, SelectFilter } from "../../ui/Filters";
import { compact, shape } from "../../ui/format";
import { Problem } from "../../ui/Problem";
import { Title } from "../../ui/Title";
import { useLatest } from "../../ui/useLatest";
import { BlockForm } from "./BlockForm";
import { useDraft } from "./draft";
import { Json } from "./Json";
import { Kinds } from "./Kinds";
import { Train } from "./Train";
import { Tree } from "./Tree";
import { blockAt } from "./tree";
import "./Build.css";

const KINDS = graphql(`
	query BlockKinds {
		blockKinds {
			name
			category
			summary
			parameters {
				name
				values
				jsonSchema
				required
				default
				description
			}
		}
		datasets {
			id
			name
			channels
			height
			width
			classNames
		}
	}
`);

const VALIDATE = graphql(`
	query ValidateBlocks($blocks: [BlockInput!]!, $dataset: String!) {
		validateBlocks(blocks: $blocks, dataset: $dataset) {
			valid
			outputShape
			parameterCount
			multiplyAccumulates
			errors {
				path
				parameter
				message
			}
			layers {
				path
				outputShape
				parameterCount
				multiplyAccumulates
			}
		}
	}
`);

/** How long the network may stay as it is before the server is asked. */
const PAUSE_MILLISECONDS = 200;

/** Builds a network of blocks, which the server checks while one does. */
export default function Build() {
	const { blocks, dataset, selected, set } = useDraft();
	const kinds = useDocument(KINDS, {});
	const [isJson, setJson] = useState(false);
	const report = useReport();
	// An answer about the network as it was says nothing of where its blocks are now.
	const isCurrent = report.question?.blocks === blocks && report.question.dataset === dataset;
	const valid = isCurrent && (report.answer?.validateBlocks.valid ?? false);
	return (
		<>
			<Title
				actions={
					<>
						<button type="button" onClick={() => useDraft.temporal.getState().undo()}>
							Undo
						</button>
						<button type="button" onClick={() => useDraft.temporal.getState().redo()}>
							Redo
						</button>
						<button type="button" onClick={() => setJson(true)}>
							JSON
						</button>
					</>
				}
			>
				Build a network
			</Title>
			<Answer query={kinds} rows={10}>
				{({ blockKinds, datasets }) => {
					const block = blockAt(blocks, selected);
					const { validateBlocks: checked } = report.answer ?? {};
					return (
						<>
							<Filters>
								<SelectFilter
									label="Data set"
									value={dataset}
									options={datasets.map(({ name }) => [name, name] as const)}
									onChange={(name) => set({ dataset: name })}
								/>
							</Filters>
							{report.error && <Problem error={report.error} />}
							{checked && isCurrent && (
								<Facts>
									{{
										Output: checked.outputShape ? shape(checked.outputShape) : "unknown",
										Parameters: compact(checked.parameterCount),
										"Operations for an image": compact(checked.multiplyAccumulates),
										Faults: checked.errors.length === 0 ? "none" : <Faults errors={checked.errors} />,
									}}
								</Facts>
							)}
							<div className="build">
								<Kinds kinds={blockKinds} />
								<Tree errors={(isCurrent && checked?.errors) || []} layers={(isCurrent && checked?.layers) || []} />
								<div>
									{block && (
										<BlockForm
											key={selected}
											block={block}
											kind={blockKinds.find(({ name }) => name === block.kind)}
											errors={((isCurrent && checked?.errors) || []).filter(({ path }) => path === selected)}
										/>
									)}
									<Train isValid={valid} />
								</div>
							</div>
							{isJson && <Json onClose={() => setJson(false)} />}
						</>
					);
				}}
			</Answer>
		</>
	);
}

/** What the server says of the network as it is. */
function useReport() {
	const { blocks, dataset } = useDraft();
	const { put, ...report } = useLatest((question: { blocks: BlockInput[]; dataset: string }) =>
		request(VALIDATE, question),
	);
	useEffect(() => {
		const timer = setTimeout(
			() => void put(blocks.length === 0 ? null : { blocks: blocks as BlockInput[], dataset }),
			PAUSE_MILLISECONDS,
		);
		return () => clearTimeout(timer);
	}, [blocks, dataset, put]);
	return report;
}

interface BlockError {
	path: string;
	message: string;
}

/** The faults of a network, each leading to its block. */
function Faults({ errors }: { errors: readonly BlockError[] }) {
	const set = useDraft((draft) => draft.set);
	return (
		<ul className="faults">
			{errors.map(({ path, message }) => (
				<li key={`${path} ${message}`}>
					{path !== "" && (
						<button type="button" onClick={() => set({ selected: path })}>
							{path}
						</button>
					)}{" "}
					{message}
				</li>
			))}
		</ul>
	);
}
