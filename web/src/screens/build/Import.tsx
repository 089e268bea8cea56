import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { request } from "../../api/request";
import { graphql } from "../../gql";
import type { ReadBlocksMutation } from "../../gql/graphql";
import { Dialog } from "../../ui/Dialog";
import { FileField, useFileChoice } from "../../ui/FileField";
import { shape } from "../../ui/format";
import { Problem } from "../../ui/Problem";
import { Table } from "../../ui/Table";
import { useDraft } from "./draft";
import { say } from "./notice";
import { readBlocks } from "./parse";
import type { Block } from "./tree";

const READ = graphql(`
	mutation ReadBlocks($input: ReadBlocksInput!) {
		readBlocks(input: $input) {
			blocks
			imageShape
			problems {
				node
				operator
				message
			}
		}
	}
`);

type Read = ReadBlocksMutation["readBlocks"];

/** Brings the network of an ONNX file, as far as it can be expressed as blocks. */
export function Import({ onClose }: { onClose: () => void }) {
	const { dataset, set } = useDraft();
	const [output, setOutput] = useState("");
	const read = useMutation({
		mutationFn: async (file: File) => {
			const found = (await request(READ, { input: { file, dataset, output: output.trim() || null } })).readBlocks;
			return { ...found, blocks: found.blocks == null ? null : readBlocks(found.blocks) };
		},
	});
	const take = ({ blocks, imageShape }: { blocks: Block[] | null; imageShape: readonly number[] }) => {
		if (!blocks) return;
		set({ blocks, selected: "0" });
		say(`The network is brought in. It was made for images of ${shape(imageShape)}.`);
		onClose();
	};
	// Not once the dialog is closed, nor for a file that another one has overtaken.
	const choice = useFileChoice((file) => read.mutate(file, { onSuccess: take }));
	return (
		<Dialog title="Import an ONNX file" onClose={onClose}>
			<div {...choice.target}>
				<p className="quiet">
					The network of the file becomes blocks, which you can change and train here. Its weights stay behind. To keep
					them, register the file with <code>scv push</code>.
				</p>
				<label className="field">
					<span>Output to use, if the file has several</span>
					<input value={output} onChange={(event) => setOutput(event.target.value)} />
				</label>
				<FileField
					label="Choose or drop an .onnx file, or a .zip of one"
					accept=".onnx,.zip"
					choice={choice}
					chosen={read.variables ?? null}
				/>
				{read.isPending && <p role="status">Reading the file.</p>}
				{read.error && <Problem error={read.error} />}
				{read.data && read.data.problems.length > 0 && <Unsaid problems={read.data.problems} />}
			</div>
		</Dialog>
	);
}

/** What keeps a network from becoming blocks. */
function Unsaid({ problems }: { problems: Read["problems"] }) {
	return (
		<div role="alert">
			<p>This network cannot be expressed as blocks. Nothing was changed.</p>
			<Table
				label="What cannot be expressed as blocks"
				rows={problems}
				rowKey={({ node, message }) => `${node} ${message}`}
				columns={[
					{ name: "Node", cell: ({ node }) => <bdi>{node}</bdi> },
					{ name: "Operator", cell: ({ operator }) => operator },
					{ name: "What is wrong", cell: ({ message }) => message },
				]}
			/>
		</div>
	);
}
