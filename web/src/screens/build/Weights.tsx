import { useMutation } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { readAgain } from "../../api/queries";
import { request } from "../../api/request";
import { graphql } from "../../gql";
import type { BlockInput, MapWeightsMutation } from "../../gql/graphql";
import { FileField, useFileChoice } from "../../ui/FileField";
import { Folded } from "../../ui/Folded";
import { NONE, shape, words } from "../../ui/format";
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
				by
				ignored
				pairs {
					from
					key
					shape
				}
			}
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

/** Registers the network with weights of a file. Which tensor becomes which is shown first. */
export function Weights({ isValid }: { isValid: boolean }) {
	const { blocks, dataset } = useDraft();
	const map = useMutation({
		mutationFn: async (weights: File) => {
			const network = { blocks: blocks as BlockInput[], dataset };
			return { ...network, weights, ...(await request(MAP, { input: { ...network, weights } })).mapWeights };
		},
	});
	const refusal = useIsReadOnly() ? READ_ONLY : isValid ? null : "Weights are taken once the network has no faults.";
	const choice = useFileChoice((file) => refusal === null && map.mutate(file));
	// A mapping says nothing of a network that was changed since.
	const mapped = map.data?.blocks === blocks && map.data.dataset === dataset ? map.data : null;
	return (
		<Panel id="weights" title="Weights from a file" {...choice.target}>
			{refusal === null ? (
				<FileField
					label="Choose or drop a .safetensors or PyTorch file"
					accept=".safetensors,.pt,.pth"
					choice={choice}
					chosen={map.variables ?? null}
				/>
			) : (
				<p className="quiet">{refusal}</p>
			)}
			{map.isPending && <p role="status">Reading the file.</p>}
			{map.error && <Problem error={map.error} />}
			{map.data && !mapped && <p className="quiet">The network has changed. Choose the file again.</p>}
			{mapped?.mapping && (
				<>
					<Mapping mapping={mapped.mapping} />
					<Register key={mapped.weights.lastModified + mapped.weights.name} {...mapped} />
				</>
			)}
			{mapped && mapped.misfits.length > 0 && <Misfits misfits={mapped.misfits} />}
		</Panel>
	);
}

function Mapping({ mapping: { by, pairs, ignored } }: { mapping: NonNullable<Mapped["mapping"]> }) {
	return (
		<Folded
			summary={
				<>
					{pairs.length} tensors fit, matched by their {by === "KEY" ? "keys" : words(by)}
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
						{ name: "In the file", cell: ({ from }) => <bdi>{from}</bdi> },
						{ name: "In the network", cell: ({ key }) => <bdi>{key}</bdi> },
						{ name: "Shape", cell: ({ shape: sizes }) => shape(sizes) },
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
}

function Register({ blocks, dataset, weights }: RegisterProps) {
	const [model, setModel] = useState("");
	const register = useMutation({
		mutationFn: async (name: string) => {
			const input = { modelId: await modelOf(name), dataset, blocks, weights, dryRun: false, onnxData: [] };
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
