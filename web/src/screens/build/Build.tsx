import { useCallback, useEffect, useState } from "react";
import { useStore } from "zustand";
import { useDocument } from "../../api/queries";
import { request } from "../../api/request";
import { graphql } from "../../gql";
import type { BlockInput } from "../../gql/graphql";
import { Answer } from "../../ui/Answer";
import { Facts } from "../../ui/Facts";
import { Filters, SelectFilter } from "../../ui/Filters";
import { compact, NONE, shape } from "../../ui/format";
import { Problem } from "../../ui/Problem";
import { Title } from "../../ui/Title";
import { useLatest } from "../../ui/useLatest";
import { WriteButton } from "../../ui/WriteButton";
import { useAddress } from "./address";
import { BlockForm } from "./BlockForm";
import { Coded } from "./Coded";
import { CopyLink } from "./CopyLink";
import { beginWith, useDraft } from "./draft";
import { Export } from "./Export";
import { Import } from "./Import";
import { Json } from "./Json";
import { Kinds } from "./Kinds";
import { focusBlock } from "./keys";
import { Panel } from "./Panel";
import { Train } from "./Train";
import { Tree } from "./Tree";
import { type Block, blockAt, outline } from "./tree";
import { Weights } from "./Weights";
import "./tabs";
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

const DIALOGS = { json: Json, import: Import, export: Export };

/** How long the network may stay as it is before the server is asked. */
const PAUSE_MILLISECONDS = 200;

const UNKNOWN = { errors: [], layers: [] };

/** Builds a network of blocks, which the server checks while one does. */
export default function Build() {
	const { blocks, dataset, selected, opened, replaced, set } = useDraft();
	const kinds = useDocument(KINDS, {});
	const [dialog, setDialog] = useState<keyof typeof DIALOGS | null>(null);
	const Shown = dialog && DIALOGS[dialog];
	const { pastStates, futureStates, undo, redo } = useStore(useDraft.temporal);
	const unread = useAddress();
	const first = kinds.data?.datasets[0]?.name;
	useEffect(() => {
		if (first !== undefined) beginWith(first);
	}, [first]);
	const report = useReport();
	const isCurrent = report.question?.blocks === blocks && report.question.dataset === dataset;
	// An answer about the network as it was says nothing of where its blocks are now, unless they all are where they were.
	const isPlaced = report.question !== null && outline(report.question.blocks as Block[]) === outline(blocks);
	const isValid = isCurrent ? report.answer?.validateBlocks.valid : undefined;
	return (
		<>
			<Title
				actions={
					<>
						<button type="button" disabled={pastStates.length === 0} onClick={() => undo()}>
							Undo
						</button>
						<button type="button" disabled={futureStates.length === 0} onClick={() => redo()}>
							Redo
						</button>
						<button type="button" onClick={() => setDialog("json")}>
							JSON
						</button>
						<WriteButton onClick={() => setDialog("import")}>Import</WriteButton>
						<button type="button" disabled={blocks.length === 0} onClick={() => setDialog("export")}>
							Export
						</button>
						<CopyLink />
					</>
				}
			>
				Build a network
			</Title>
			{unread && (
				<p className="notice bad" role="alert">
					The network of this link cannot be read: {unread} Ask for the link again.
				</p>
			)}
			{replaced && opened === blocks && (
				<p className="notice" role="status">
					This is the network of the link or version that you opened. <q>Undo</q> brings back the one you had.
				</p>
			)}
			<Answer query={kinds} rows={10}>
				{({ blockKinds, datasets }) => {
					const block = blockAt(blocks, selected);
					const { validateBlocks: checked } = report.answer ?? {};
					// The list may be longer than what is seen of it.
					const faults = checked?.errors.length ? `Faults (${checked.errors.length})` : "Faults";
					const { errors, layers } = (isPlaced && checked) || UNKNOWN;
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
							{report.error && <Problem error={report.error} retry={report.again} />}
							<div className="totals">
								<Facts>
									{{
										Output: checked?.outputShape ? shape(checked.outputShape) : NONE,
										Parameters: checked ? compact(checked.parameterCount) : NONE,
										"Operations for an image": checked ? compact(checked.multiplyAccumulates) : NONE,
										[faults]: checked ? <Faults errors={checked.errors} isPlaced={isPlaced} /> : NONE,
									}}
								</Facts>
							</div>
							<div className="build">
								<Kinds kinds={blockKinds} />
								<Tree errors={errors} layers={layers} />
								<div className="settings">
									{block && (
										<Panel
											id="block"
											title={
												<>
													{block.kind} <span className="quiet">{selected}</span>
												</>
											}
										>
											<BlockForm
												key={selected}
												block={block}
												kind={blockKinds.find(({ name }) => name === block.kind)}
												errors={errors.filter(({ path }) => path === selected)}
											/>
										</Panel>
									)}
									<Train isValid={isValid} />
									<Weights isValid={isValid === true} />
								</div>
							</div>
							{Shown && <Shown onClose={() => setDialog(null)} />}
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
	const again = useCallback(
		() => void put(blocks.length === 0 || dataset === "" ? null : { blocks: blocks as BlockInput[], dataset }),
		[blocks, dataset, put],
	);
	useEffect(() => {
		const timer = setTimeout(again, PAUSE_MILLISECONDS);
		return () => clearTimeout(timer);
	}, [again]);
	return { ...report, again };
}

interface BlockError {
	path: string;
	message: string;
}

/** The faults of a network, each leading to its block. */
function Faults({ errors, isPlaced }: { errors: readonly BlockError[]; isPlaced: boolean }) {
	if (errors.length === 0) return "none";
	return (
		<ul className="faults">
			{errors.map(({ path, message }) => (
				<li key={`${path} ${message}`}>
					{path !== "" && (
						<button type="button" disabled={!isPlaced} onClick={() => focusBlock(path)}>
							{path}
						</button>
					)}{" "}
					<Coded>{message}</Coded>
				</li>
			))}
		</ul>
	);
}
