import { useMutation } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { readAgain } from "../../api/queries";
import { request } from "../../api/request";
import { graphql } from "../../gql";
import type { BlockInput, MapWeightsMutation } from "../../gql/graphql";
import { FileField, useFileChoice } from "../../ui/FileField";
import { Folded } from "../../ui/Folded";
import { NONE, shape } from "../../ui/format";
import { Problem } from "../../ui/Problem";
import { Table } from "../../ui/Table";
import { READ_ONLY, useIsReadOnly } from "../../ui/WriteButton";
import { useDraft } from "./draft";
import { modelOf } from "./model";
import { Panel } from "./Panel";

const MAP = graphql(`
	mutation MapWeights($input: MapWeightsInput!) {
		mapWeights(input: $input) {
			mapping {
				dict
				prefix
				ignored
				pairs {
					by
					computedFrom
					from
					key
					shape
				}
			}
			dicts
			misfits {
				reason
				key
				neededShape
				from
				shape
				message
			}
		}
	}
`);

const REGISTER = graphql(`
	mutation RegisterWeights($input: CreateVersionInput!) {
		createVersion(input: $input) {
			version {
				id
				number
			}
		}
	}
`);

type Mapped = MapWeightsMutation["mapWeights"];

interface Choice {
	weights: File;
	/** Which dict of the file to take; null for the server's choice. */
	weightsKey: string | null;
}

/** What tells that two tensors belong together. */
const EVIDENCE = { KEY: "key", SHAPE: "shape", NUMBER: "the numbers in their keys", MAP: "the mapping" } as const;

/** Registers the network with weights of a file. Which tensor becomes which is shown first. */
export function Weights({ isValid }: { isValid: boolean }) {
	const { blocks, dataset } = useDraft();
	const map = useMutation({
		mutationFn: async ({ weights, weightsKey }: Choice) => {
			const network = { blocks: blocks as BlockInput[], dataset, weights, weightsKey };
			return { ...network, ...(await request(MAP, { input: network })).mapWeights };
		},
	});
	const refusal = useIsReadOnly() ? READ_ONLY : isValid ? null : "Weights are taken once the network has no faults.";
	const choice = useFileChoice((weights) => refusal === null && map.mutate({ weights, weightsKey: null }));
	// A mapping says nothing of a network that was changed since.
	const mapped = map.data?.blocks === blocks && map.data.dataset === dataset ? map.data : null;
	return (
		<Panel id="weights" title="Weights from a file" {...choice.target}>
			{refusal === null ? (
				<FileField
					label="Choose or drop a .safetensors or PyTorch file"
					accept=".safetensors,.pt,.pth"
					choice={choice}
					chosen={map.variables?.weights ?? null}
				/>
			) : (
				<p className="quiet">{refusal}</p>
			)}
			{map.isPending && <p role="status">Reading the file.</p>}
			{map.error && <Problem error={map.error} />}
			{map.data && !mapped && <p className="quiet">The network has changed. Choose the file again.</p>}
			{mapped && mapped.dicts.length > (mapped.mapping ? 1 : 0) && (
				<Dicts
					dicts={mapped.dicts}
					taken={mapped.mapping ? (mapped.mapping.dict ?? "") : null}
					onChoose={(weightsKey) => map.mutate({ weights: mapped.weights, weightsKey })}
				/>
			)}
			{mapped?.mapping && (
				<>
					<Mapping mapping={mapped.mapping} />
					<Register key={`${mapped.weights.lastModified} ${mapped.weights.name} ${mapped.weightsKey}`} {...mapped} />
				</>
			)}
			{mapped && mapped.misfits.length > 0 && <Misfits misfits={mapped.misfits} />}
		</Panel>
	);
}

interface DictsProps {
	dicts: readonly string[];
	taken: string | null;
	onChoose: (dict: string) => void;
}

/** A choice among the dicts of tensors that fit. */
function Dicts({ dicts, taken, onChoose }: DictsProps) {
	return (
		<label className="field">
			<span>{taken === null ? "Several dicts of tensors fit. Choose one" : "Taken from"}</span>
			<select value={taken ?? ""} onChange={(event) => onChoose(event.target.value)}>
				{taken === null && <option value="" />}
				{dicts.map((dict) => (
					<option key={dict} value={dict}>
						{dict || "the whole file"}
					</option>
				))}
			</select>
		</label>
	);
}

function Mapping({ mapping: { dict, prefix, pairs, ignored } }: { mapping: NonNullable<Mapped["mapping"]> }) {
	const evidence = [...new Set(pairs.map(({ by }) => EVIDENCE[by]))];
	return (
		<Folded
			summary={
				<>
					{pairs.length} tensors fit, matched by {evidence.join(" and by ")}
					{prefix && (
						<>
							{" "}
							without the prefix <bdi>{prefix}</bdi>
						</>
					)}
					{dict && (
						<>
							, from <bdi>{dict}</bdi>
						</>
					)}
					{ignored.length > 0 && `; ${ignored.length} are not needed`}
				</>
			}
		>
			{() => (
				<Table
					label="Which tensor becomes which"
					rows={pairs}
					rowKey={({ key }) => key}
					columns={[
						{ name: "In the file", cell: ({ from, computedFrom }) => <bdi>{computedFrom.join(", ") || from}</bdi> },
						{ name: "In the network", cell: ({ key }) => <bdi>{key}</bdi> },
						{ name: "Shape", cell: ({ shape: sizes }) => shape(sizes) },
						{ name: "Matched by", cell: ({ by }) => EVIDENCE[by] },
					]}
				/>
			)}
		</Folded>
	);
}

function Misfits({ misfits }: { misfits: Mapped["misfits"] }) {
	return (
		<div role="alert">
			<p className="fault">The weights do not fit. Nothing was registered.</p>
			<Table
				label="What does not fit"
				rows={misfits}
				rowKey={({ key, from, reason }) => `${key} ${from} ${reason}`}
				columns={[
					{ name: "In the network", cell: ({ key, neededShape }) => <Tensor name={key} sizes={neededShape} /> },
					{ name: "In the file", cell: ({ from, shape: sizes }) => <Tensor name={from} sizes={sizes} /> },
					{ name: "What is wrong", cell: ({ message }) => message },
				]}
			/>
		</div>
	);
}

interface TensorProps {
	name: string | null | undefined;
	sizes: readonly number[] | null | undefined;
}

function Tensor({ name, sizes }: TensorProps) {
	if (!name) return NONE;
	return (
		<>
			<bdi>{name}</bdi> {sizes && <span className="quiet">{shape(sizes)}</span>}
		</>
	);
}

interface RegisterProps {
	blocks: BlockInput[];
	dataset: string;
	weights: File;
	weightsKey: string | null;
}

function Register({ blocks, dataset, weights, weightsKey }: RegisterProps) {
	const [model, setModel] = useState("");
	const register = useMutation({
		mutationFn: async (name: string) => {
			const input = { ...(await modelOf(name)), dataset, blocks, weights, weightsKey };
			const { version } = (await request(REGISTER, { input })).createVersion;
			if (!version) throw new Error("The server answered without a version.");
			return { name, number: version.number };
		},
		onSuccess: () => readAgain(),
	});
	// Each registration makes a version, also a second one of the same weights.
	const isDone = register.isSuccess && register.variables === model.trim();
	return (
		<form
			onSubmit={(event) => {
				event.preventDefault();
				register.mutate(model.trim());
			}}
		>
			<label className="field">
				<span>Model, new or known</span>
				<input value={model} required maxLength={128} onChange={(event) => setModel(event.target.value)} />
			</label>
			<button type="submit" className="primary" disabled={register.isPending || isDone}>
				Register
			</button>
			{register.error && (
				<div ref={show}>
					<Problem error={register.error} />
				</div>
			)}
			{register.data && (
				<p role="status" ref={show}>
					<Link
						to="/models/$model/versions/$number"
						params={{ model: register.data.name, number: String(register.data.number) }}
					>
						Open <bdi>{register.data.name}</bdi>, version {register.data.number}
					</Link>
				</p>
			)}
		</form>
	);
}

/** Brings into view what has just come below the edge of the panel. */
function show(element: HTMLElement | null) {
	element?.scrollIntoView({ block: "nearest" });
}
