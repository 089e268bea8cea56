import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { useChange } from "../../api/queries";
import { graphql } from "../../gql";
import { Dialog } from "../../ui/Dialog";
import { FileField, useFileChoice } from "../../ui/FileField";
import { Problem } from "../../ui/Problem";

const IMPORT = graphql(`
	mutation ImportDataset($input: ImportDatasetInput!) {
		importDataset(input: $input) {
			job {
				id
				newDatasetName
			}
		}
	}
`);

/** The files of a data set, with what they hold. */
const FILES = {
	trainImages: "Training images",
	trainLabels: "Training labels",
	testImages: "Test images",
	testLabels: "Test labels",
} as const;

type FileName = keyof typeof FILES;

const NAMES = Object.keys(FILES) as FileName[];

/** Imports a data set of four IDX files. The work goes on in the background. */
export function ImportDataset({ onClose }: { onClose: () => void }) {
	const [name, setName] = useState("");
	const [files, setFiles] = useState<Partial<Record<FileName, File>>>({});
	const start = useChange(IMPORT);
	const started = start.data?.importDataset.job;
	const isWhole = NAMES.every((file) => files[file]);
	return (
		<Dialog title="Import a data set" onClose={onClose}>
			{started ? (
				<p role="status">
					Data set <bdi>{started.newDatasetName}</bdi> is imported in the background. <Link to="/jobs">Jobs</Link> shows
					how far it is.
				</p>
			) : (
				<form
					onSubmit={(event) => {
						event.preventDefault();
						start.mutate({ input: { name: name.trim(), ...files } });
					}}
				>
					<p className="quiet">
						Four IDX files, raw or gzipped, as MNIST, Fashion-MNIST and EMNIST are published. For class names and other
						settings, use <code>scv dataset import</code>.
					</p>
					<label className="field">
						<span>Name</span>
						<input value={name} required maxLength={64} onChange={(event) => setName(event.target.value)} />
					</label>
					{NAMES.map((file) => (
						<IdxFile
							key={file}
							content={FILES[file]}
							chosen={files[file] ?? null}
							onChoose={(chosen) => setFiles((before) => ({ ...before, [file]: chosen }))}
						/>
					))}
					<button type="submit" className="primary" disabled={!isWhole || start.isPending}>
						Import
					</button>
					{start.isPending && <p role="status">Sending the files.</p>}
					{start.error && <Problem error={start.error} />}
				</form>
			)}
		</Dialog>
	);
}

interface IdxFileProps {
	content: string;
	chosen: File | null;
	onChoose: (file: File) => void;
}

function IdxFile({ content, chosen, onChoose }: IdxFileProps) {
	const choice = useFileChoice(onChoose);
	return (
		<div {...choice.target}>
			<FileField label={`${content}: choose or drop the file`} accept="" choice={choice} chosen={chosen} />
		</div>
	);
}
